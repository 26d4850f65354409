"""Learning from another recogniser's probabilities."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments
from trainer.config.schema import Config
from trainer.inference import load
from trainer.training.reading import Reading, target_weights


@pytest.fixture
def teacher(tiny_model: Path) -> Path:
    return tiny_model.parent / "run"


def student(workdir: str, *, weight: float) -> Config:
    base = experiments.find("smoke")
    return replace(base, train=replace(base.train, teacher=workdir, teacher_weight=weight))


def batch(height: int, width: int) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(3)
    images = rng.uniform(-1, 1, (5, height, width, 3)).astype(np.float32)
    tokens = np.full((5, 6), 11, np.int32)
    for row, length in enumerate((1, 2, 3, 4, 5)):
        tokens[row, :length] = rng.integers(0, 10, length)
    return {"image": tf.constant(images), "tokens": tf.constant(tokens)}


def loss(config: Config, images: dict[str, tf.Tensor]) -> float:
    reading = Reading(config)
    network = reading.network
    return float(reading.loss(network.params, network.state, images, tf.constant(0, tf.int64)).mean)


def test_the_targets_are_a_mixture_of_the_labels_and_what_the_teacher_says(teacher: Path) -> None:
    images = batch(16, 32)
    with_labels = loss(student("", weight=0.7), images)
    with_teacher = loss(student(str(teacher), weight=1.0), images)
    assert loss(student(str(teacher), weight=0.7), images) == pytest.approx(
        0.3 * with_labels + 0.7 * with_teacher, rel=1e-5
    )
    # What the teacher says is what its work folder says when it reads, and it is not the label.
    _, recogniser, params, state, _ = load.load_model(str(teacher))
    tokens = images["tokens"].numpy()
    fed = np.concatenate([np.full((5, 1), 10, np.int32), tokens[:, :-1]], axis=1)
    memory, carried = recogniser.encode(params, state, images["image"])
    said = []
    for t in range(6):
        logits, carried, _ = recogniser.step(params, tf.constant(fed[:, t : t + 1]), carried, memory)
        said.append(tf.nn.softmax(logits)[:, 0].numpy())
    reading = Reading(student("", weight=0.0))
    logits, _ = reading.network.teach(
        reading.network.params, reading.network.state, images["image"], tf.constant(fed), step=tf.constant(0, tf.int64)
    )
    counts = target_weights(images["tokens"], 11).numpy()
    log_probs = tf.nn.log_softmax(logits).numpy()
    expected = -(np.stack(said, axis=1) * log_probs).sum(-1) * counts
    assert with_teacher == pytest.approx(expected.sum() / counts.sum(), rel=1e-4)


def test_a_student_of_another_size_is_taught_too(teacher: Path) -> None:
    config = student(str(teacher), weight=0.7)
    larger = replace(config, model=replace(config.model, image_height=24, image_width=48))
    assert np.isfinite(loss(larger, batch(24, 48)))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"alphabet": "0123456789A"}, "has model.alphabet=0123456789"), ({"max_length": 7}, "has model.max_length=5")],
)
def test_a_teacher_of_other_numbers_is_refused(teacher: Path, change: dict[str, Any], message: str) -> None:
    config = student(str(teacher), weight=0.7)
    with pytest.raises(UserError, match=message):
        Reading(replace(config, model=replace(config.model, **change)))


def test_a_teacher_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        Reading(student(str(tmp_path / "nowhere"), weight=0.7))


def test_a_finder_has_no_teacher() -> None:
    finder = experiments.find("finder")
    with pytest.raises(UserError, match=r"train\.teacher=runs/teacher: a finder cannot learn from one"):
        replace(finder, train=replace(finder.train, teacher="runs/teacher"))
