import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.config import experiments
from trainer.inference.evaluating import evaluation
from trainer.inference.exports import saved_model
from trainer.inference.measuring import calibration
from trainer.inference.measuring.calibration import Calibration
from trainer.inference.predictor import Predictor
from trainer.models.recogniser import PureRecogniser
from trainer.training.train_state import TrainState


def drawn(seed: int, count: int, truth: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Return random probabilities, and whether each answer is correct, with the confidence that `truth` gives it."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(4, 1, count)
    return probabilities, rng.random(count) < truth.confidence(probabilities)


def log_loss(truth: Calibration, probabilities: np.ndarray, right: np.ndarray) -> float:
    p = truth.confidence(probabilities)
    return float(-np.mean(np.log(np.where(right, p, 1 - p))))


@pytest.mark.parametrize("truth", [Calibration(), Calibration(0.5, 1.7), Calibration(2.0, -0.5)])
def test_the_calibration_that_made_the_answers_is_found(truth: Calibration) -> None:
    found = calibration.fit(*drawn(0, 100_000, truth))
    assert found.temperature == pytest.approx(truth.temperature, rel=0.03)
    assert found.offset == pytest.approx(truth.offset, abs=0.05)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.3, 3), offset=st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_no_other_calibration_is_more_likely(seed: int, temperature: float, offset: float) -> None:
    probabilities, right = drawn(seed, 5000, Calibration(temperature, offset))
    found = calibration.fit(probabilities, right)
    best = log_loss(found, probabilities, right)
    for factor, shift in ((1.1, 0.0), (0.9, 0.0), (1.0, 0.1), (1.0, -0.1), (1.1, 0.1), (0.9, -0.1)):
        other = Calibration(found.temperature * factor, found.offset + shift)
        assert best <= log_loss(other, probabilities, right) + 1e-5


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
@settings(deadline=None)
def test_any_answers_give_confidences_in_the_order_of_their_probabilities(answers: list[tuple[float, bool]]) -> None:
    probabilities, right = np.array([p for p, _ in answers]), np.array([r for _, r in answers], bool)
    found = calibration.fit(probabilities, right)
    confidence = found.confidence(probabilities)
    assert np.all((confidence >= 0) & (confidence <= 1))
    assert np.all(np.diff(confidence[np.argsort(probabilities)]) >= 0)
    measured = calibration.measure(probabilities, right)
    assert np.isfinite(measured["after"]["log_loss"])
    assert sum(b["pictures"] for b in measured["before"]["bins"]) == len(answers)


def test_without_errors_nothing_becomes_certain() -> None:
    assert calibration.fit(np.full(50, 0.9), np.ones(50, bool)).confidence(np.array([0.9]))[0] < 0.99


@given(seed=st.integers(0, 1000), count=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_figures_are_those_of_a_plain_count(seed: int, count: int) -> None:
    probabilities, right = drawn(seed, count, Calibration(0.7, 0.3))
    ranked = sorted(zip(probabilities, right, strict=True))
    sizes = [count // 15 + (i < count % 15) for i in range(15)]
    distance, begin = 0.0, 0
    for size in sizes:
        group, begin = ranked[begin : begin + size], begin + size
        distance += abs(sum(p for p, _ in group) - sum(bool(r) for _, r in group))
    measured = calibration.measure(probabilities, right)["before"]
    assert measured["calibration_error"] == pytest.approx(distance / count, abs=1e-5)
    likelihoods = [p if r else 1 - p for p, r in ranked]
    assert measured["log_loss"] == pytest.approx(-sum(map(np.log, likelihoods)) / count, rel=1e-3, abs=1e-5)


def test_cross_fitting_measures_on_others_than_it_fits() -> None:
    probabilities, right = drawn(3, 400, Calibration(0.4, 2.0))
    before = calibration.cross_fitted(probabilities, right)
    i = int(np.argmin(probabilities))
    right[i] = ~right[i]
    after = calibration.cross_fitted(probabilities, right)
    assert before[i] == after[i]
    assert np.mean(before != after) == pytest.approx(0.5, abs=0.01)


def test_thresholds_are_the_lowest_that_keep_the_accuracy() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5] * 20)
    right = np.array([True, True, True, True, False] * 20)
    rows = calibration.thresholds(confidence, right)
    assert [row["accuracy"] for row in rows] == [0.95, 0.98, 0.99]
    assert all((row["confidence"], row["coverage"], row["pictures"]) == (0.6, 0.8, 80) for row in rows)
    nothing = calibration.thresholds(confidence, np.zeros(100, bool))
    assert [(row["confidence"], row["pictures"]) for row in nothing] == [(None, 0)] * 3


def test_the_graph_and_numpy_agree() -> None:
    wanted = experiments.find("smoke")
    train_state = TrainState(wanted)
    network = PureRecogniser(wanted.model, seed=0)
    calibrated = Calibration(0.56, 1.67)
    images = tf.random.stateless_uniform([6, wanted.model.image_height, wanted.model.image_width, 3], [1, 2], -1, 1)
    out = Predictor(network, train_state.params, train_state.state, wanted, calibrated).read(images)
    expected = calibrated.confidence(out["probability"].numpy()[:, 0])
    np.testing.assert_allclose(out["confidence"], expected, rtol=1e-4)
    plain = Predictor(network, train_state.params, train_state.state, wanted).read(images)
    np.testing.assert_allclose(plain["confidence"], plain["probability"][:, 0], rtol=1e-4)


@pytest.mark.slow
def test_it_belongs_to_the_way_that_numbers_are_read_in(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    run, out, otherwise = str(tmp_path / "run"), str(tmp_path / "out"), ["decode.views=[1.0,1.2]"]
    shutil.copytree(tiny_model.parent / "run", run)
    seen = {"allow_seen": True, "calibrate": True}
    evaluation.evaluate(run, [str(tiny_dataset)], "train", **seen, settings=otherwise)
    with pytest.raises(UserError, match=r"is for other decode settings, .*'views': \[1.0, 1.2\]"):
        saved_model.export(run, out)
    info = saved_model.export(run, out, settings=otherwise)
    assert info["calibration"]["decode"]["views"] == [1.0, 1.2]
    stored = Path(run, "calibration.json")
    older = {name: value for name, value in json.loads(stored.read_text()).items() if name != "decode"}
    stored.write_text(json.dumps(older))  # from before the way to read was stored
    with pytest.raises(UserError, match=r"is for other decode settings, None: run trainer.evaluate --calibrate again"):
        saved_model.export(run, out, settings=otherwise)
    with pytest.raises(UserError, match=r"--set train.steps=5: a trained model only accepts decode settings"):
        evaluation.evaluate(run, [str(tiny_dataset)], "train", **seen, settings=["train.steps=5"])


def test_thresholds_say_what_to_expect_of_them_on_other_answers() -> None:
    """Thresholds are chosen on the given answers, so they may achieve less on others."""
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(0.3, 1.0, 400)
    right = rng.uniform(size=400) < probabilities
    measured = calibration.measure(probabilities, right)
    for row in measured["thresholds"]:
        if row["confidence"] is None:
            continue
        chosen = calibration.Calibration(measured["temperature"], measured["offset"]).confidence(probabilities)
        accepted = chosen >= row["confidence"]
        assert right[accepted].mean() >= row["accuracy"]
        assert 0 <= row["expected_coverage"] <= 1
        assert row["expected_accuracy"] is None or 0.5 < row["expected_accuracy"] <= 1
    assert any(
        row["expected_accuracy"] and row["expected_accuracy"] < row["accuracy"] for row in measured["thresholds"]
    )


def test_an_answer_exactly_as_confident_as_the_threshold_is_accepted() -> None:
    expected = calibration.expected(np.full(50, 0.9), np.ones(50, bool))
    assert expected == [{"expected_coverage": 1.0, "expected_accuracy": 1.0}] * len(calibration.TARGETS)


def test_nothing_is_expected_of_no_answers() -> None:
    expected = calibration.expected(np.zeros(0), np.zeros(0, bool))
    assert expected == [{"expected_coverage": 0.0, "expected_accuracy": None}] * len(calibration.TARGETS)
