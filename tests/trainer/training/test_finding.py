from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.models.test_finder import small
from trainer import graph
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.inference.measuring import finding_metrics
from trainer.models import oriented_box
from trainer.models.finder import CELL
from trainer.training import finding
from trainer.training.train_state import TrainState

NOBODY = np.full(8, np.nan, np.float32)


def level(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([left, top, right, top, right, bottom, left, bottom], np.float32)


def said_of(corners: np.ndarray, side: int = 128) -> np.ndarray:
    """A map that says exactly this box at the cell of its centre, and nothing elsewhere."""
    cells = side // CELL
    said = np.zeros((1, cells, cells, 7), np.float32)
    said[..., 0], said[..., 5] = -12.0, 1.0
    box = oriented_box.from_corners(tf.constant(corners[np.newaxis]))
    x, y, width, height, cos, sin = (float(getattr(box, n)[0]) for n in ("x", "y", "width", "height", "cos", "sin"))
    xs, ys = (v.numpy() for v in oriented_box.cells(cells, cells))
    right, down = (xs - x) * cos + (ys - y) * sin, (ys - y) * cos - (xs - x) * sin
    sides = [width / 2 + right, height / 2 + down, width / 2 - right, height / 2 - down]
    said[0, ..., 1:5] = np.log(np.maximum(np.stack(sides, axis=-1), 1e-3) / oriented_box.UNIT)
    said[0, ..., 5], said[0, ..., 6] = cos, sin
    said[0, int(y / CELL), int(x / CELL), 0] = 12.0
    return said


def losses(said: np.ndarray, *corners: np.ndarray) -> list[float]:
    return [float(v) for v in finding.losses(tf.constant(said), tf.constant(np.stack(corners)[np.newaxis]))]


@pytest.mark.parametrize("turn", [0.0, 20.0, 90.0, -90.0])
def test_the_right_map_has_no_loss(turn: float) -> None:
    radians = np.deg2rad(turn)
    points = level(-30, -10, 30, 10).reshape(4, 2) @ np.array(
        [[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]
    )
    corners = (points + np.array([60, 68])).astype(np.float32).ravel()
    total, overlap, count = losses(said_of(corners), corners, NOBODY)
    assert count == 1
    assert overlap == pytest.approx(1, abs=0.02)
    assert total < 0.1


def test_what_is_missed_and_what_is_made_up_costs() -> None:
    here, there = level(20, 20, 62, 38), level(70, 80, 112, 102)
    right = losses(said_of(here), here)[0]
    assert losses(said_of(here), here, there)[0] > right + 5
    assert losses(said_of(here), NOBODY)[0] > right + 5


def test_an_image_without_numbers_has_a_finite_loss() -> None:
    total, overlap, count = losses(np.zeros((1, 16, 16, 7), np.float32), NOBODY)
    assert np.isfinite(total)
    assert (overlap, count) == (0, 1)


@pytest.mark.parametrize(
    "corners",
    [level(20, 20, 23, 22), level(-60, 20, 20, 40), level(100, 100, 160, 130)],
    ids=["too small", "mostly outside", "its centre outside"],
)
def test_what_cannot_be_seen_is_neither_right_nor_wrong(corners: np.ndarray) -> None:
    nothing = said_of(level(20, 20, 60, 36))
    nothing[..., 0] = -12.0
    middle = np.clip(corners.reshape(4, 2).mean(axis=0) / CELL, 0, 15).astype(int)
    answered = nothing.copy()
    answered[0, middle[1], middle[0], 0] = 8.0
    assert losses(nothing, corners)[0] == pytest.approx(losses(answered, corners)[0], abs=0.05)


def test_a_finder_overfits_a_few_images() -> None:
    """Bright bars on a dark ground, of different sizes and directions."""
    images, corners = np.full((4, 64, 64, 3), -0.8, np.float32), np.full((4, 2, 8), np.nan, np.float32)
    for i, (left, top, right, bottom) in enumerate([(8, 16, 56, 28), (24, 4, 36, 60), (4, 36, 28, 48)]):
        images[i, top:bottom, left:right] = 0.9
        corners[i, 0] = level(left, top, right, bottom)
    wanted = small()
    train_state = TrainState(wanted)
    step = graph.compiled(train_state.train_step)
    batch = {"image": tf.constant(images), "corners": tf.constant(corners)}
    first = step(batch)
    for _ in range(400):
        figures = step(batch)
    assert float(figures["box_overlap"]) > 0.75 > float(first["box_overlap"])
    assert float(figures["loss"]) < 0.25 * float(first["loss"])
    finder = finding.Finding(wanted).predictor(train_state.params, train_state.state)
    found, scores = (v.numpy() for v in finder.find(tf.constant(images), 3))
    assert (scores[:3, 0] > 0.4).all()
    assert scores[3, 0] < 0.2
    overlaps = [finding_metrics.overlaps(corners[i, :1], found[i, :1])[0, 0] for i in range(3)]
    assert min(overlaps) > 0.5
    pixels = tf.constant(np.round((images + 1) * 127.5).astype(np.uint8))
    rest: dict[str, Any] = {"tokens": np.zeros((4, 1), int), "fingerprints": np.zeros((4, 2), int), "paths": ()}
    rest |= {"keys": list("abcd"), "texts": 4 * [""], "sources": 4 * [""], "datasets": np.zeros(4, int)}
    labelled = LabelledImages(images=pixels, corners=corners, rows=np.arange(4), model=wanted.model, **rest)
    shown = finder.shown(labelled)
    assert shown[0].label_boxes == corners[0, :1].tolist()
    assert len(shown[0].boxes) >= 1
    assert shown[3].caption == "0 numbers, 0 found"
    assert [one.right for one in shown] == [one.caption.startswith(f"{len(one.boxes)} n") for one in shown]
