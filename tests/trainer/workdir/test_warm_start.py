"""Fine-tuning: what a run copies from another, what it logs about the rest, and what it records."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines import synthesize
from trainer import released, train
from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.data.pipeline import leakage
from trainer.training import run
from trainer.training.train_state import TrainState
from trainer.workdir import checkpoint, warm_start


def smoke(*settings: str) -> schema.Config:
    return schema.override(experiments.find("smoke"), ["train.steps=4", *settings])


def initialised(source: warm_start.InitialWeights, *settings: str) -> TrainState:
    train_state = TrainState(smoke("seed=9", *settings))
    warm_start.initialise(source, train_state.params, train_state.state, averages=train_state.optimizer.averages)
    return train_state


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainState]:
    """Return a work folder whose weights, averages and statistics all differ, and its train state."""
    folder = tmp_path_factory.mktemp("first") / "run"
    train_state = TrainState(smoke())
    for number, variables in enumerate((train_state.params, train_state.state, train_state.optimizer.averages)):
        for variable in variables.values():
            variable.assign(tf.random.stateless_normal(variable.shape, [number, 1]))
    train_state.step.assign(7)
    checkpoint.Checkpoints(str(folder), train_state.checkpointed(), keep=1).save(7)
    leakage.remember(str(folder), np.array([5, 6, 7]))
    return folder, train_state


def test_averages_and_statistics_are_copied_and_all_else_starts_from_zero(
    first: tuple[Path, TrainState], caplog: pytest.LogCaptureFixture
) -> None:
    folder, there = first
    with caplog.at_level(logging.INFO):
        here = initialised(warm_start.find(str(folder)))
    for path, average in there.optimizer.averages.items():
        np.testing.assert_array_equal(here.params[path], average)
        np.testing.assert_array_equal(here.optimizer.averages[path], average)
    for path, value in there.state.items():
        np.testing.assert_array_equal(here.state[path], value)
    assert all(not np.any(slot) for slot in here.optimizer.slots.values())
    assert int(here.step) == 0
    assert f"30 of 30 variables initialised with moving averages of {folder}/checkpoints/ckpt-7" in caplog.text
    assert "newly initialised: " not in caplog.text


def test_what_does_not_fit_is_named(first: tuple[Path, TrainState], caplog: pytest.LogCaptureFixture) -> None:
    source = warm_start.find(f"{first[0]}/checkpoints/ckpt-7.index")
    np.testing.assert_array_equal(source.trained_on, [5, 6, 7])
    with caplog.at_level(logging.INFO):
        here = initialised(
            source,
            "model.alphabet=0123456789.",
            "model.widths=[4,8,8]",
            "model.strides=[2,2,2]",
            "optimizer.ema_decay=0",
        )
    path = "recogniser/encoder/stem/conv/kernel"
    np.testing.assert_array_equal(here.params[path], first[1].optimizer.averages[path])
    assert "newly initialised: recogniser/logits/bias has the shape [12] there, [13] here" in caplog.text
    assert "newly initialised: recogniser/encoder/stage2/widen/conv/kernel is missing there" in caplog.text
    assert "newly initialised: recogniser/encoder/stem" not in caplog.text


def test_another_model_takes_the_encoder(first: tuple[Path, TrainState], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        initialised(warm_start.find(str(first[0])), "model.name=five_heads")
    assert "15 of 21 variables initialised with moving averages of" in caplog.text
    assert "15 variables there are not used here" in caplog.text


def test_the_released_model_can_be_begun_with(caplog: pytest.LogCaptureFixture) -> None:
    train_state = TrainState(schema.override(experiments.find("released"), ["model.max_length=8"]))
    with caplog.at_level(logging.INFO):
        warm_start.initialise(
            warm_start.find("released"), train_state.params, train_state.state, averages=train_state.optimizer.averages
        )
    there = tf.saved_model.load(released.folder_of("released"))
    assert there.params.keys() == train_state.params.keys()
    for path, value in there.params.items():
        np.testing.assert_array_equal(train_state.params[path], tf.cast(value, tf.float32))
    for path, value in there.state.items():
        np.testing.assert_array_equal(train_state.state[path], value)
    assert "released_model/variables/variables does not record what it was trained on" in caplog.text
    assert "newly initialised: " not in caplog.text


def test_where_nothing_fits_it_is_an_error(first: tuple[Path, TrainState], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no weight of .* fits this model, e\.g\. .* is missing there"):
        initialised(warm_start.find(str(first[0])), "model.name=svhn_rnn")
    with pytest.raises(UserError, match="neither a work folder with a checkpoint, nor a checkpoint or exported model"):
        warm_start.find(str(tmp_path))


def test_a_torn_checkpoint_is_an_error(first: tuple[Path, TrainState], tmp_path: Path) -> None:
    for path in (first[0] / "checkpoints").glob("ckpt-7.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="cannot be read"):
        initialised(warm_start.find(f"{tmp_path}/ckpt-7"))


@pytest.mark.slow
def test_a_run_begins_with_another_remembers_its_images_and_goes_on_from_itself(
    tiny_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = ["--count", "40", "--max-digits", "2", "--output", f"{tmp_path}/other", "--seed", "77"]
    assert synthesize.main(args) == 0
    one, two, three = (str(tmp_path / name) for name in ("one", "two", "three"))
    other, whole = [f"{tmp_path}/other"], smoke("data.holdout=0.2")
    run.train_and_evaluate(whole, train.Inputs([str(tiny_dataset)]), workdir=one)
    with caplog.at_level(logging.INFO):
        run.train_and_evaluate(whole, train.Inputs(other, [], one), workdir=two)
    assert "30 of 30 variables" in caplog.text
    assert f"from {two}/checkpoints/ckpt-0" in caplog.text
    assert len(leakage.remembered(two)) == len(leakage.remembered(one)) + 3 * 32
    with caplog.at_level(logging.INFO):
        longer = schema.override(whole, ["train.steps=6"])
        run.train_and_evaluate(longer, train.Inputs(other, [], one), workdir=two)
    assert "--init-from only applies to a new work folder" in caplog.text
    assert f"from {two}/checkpoints/ckpt-4" in caplog.text
    again = schema.override(whole, ["data.holdout=0.5"])
    with pytest.raises(UserError, match="of the validation data were also trained on"):
        run.train_and_evaluate(again, train.Inputs([str(tiny_dataset)], [], one), workdir=three)
    reference = schema.override(whole, ["model.name=svhn_rnn"])
    with pytest.raises(UserError, match="no weight of"):
        run.train_and_evaluate(reference, train.Inputs(other, [], one), workdir=three)
    assert not Path(three).exists()
