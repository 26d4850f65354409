import math

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer.models import oriented_box
from trainer.models.finder import CELL
from trainer.models.oriented_box import OrientedBoxes

SIDES = st.floats(2, 300)


@given(x=st.floats(-50, 500), y=st.floats(-50, 500), width=SIDES, height=SIDES, angle=st.floats(-math.pi, math.pi))
def test_corners_and_back(x: float, y: float, width: float, height: float, angle: float) -> None:
    box = OrientedBoxes(*(tf.constant([v]) for v in (x, y, width, height, math.cos(angle), math.sin(angle))))
    back = oriented_box.from_corners(oriented_box.to_corners(box))
    for name in ("x", "y", "width", "height", "cos", "sin"):
        np.testing.assert_allclose(getattr(back, name), getattr(box, name), rtol=2e-3, atol=2e-2)


def test_corners_go_clockwise_from_the_top_left() -> None:
    level = OrientedBoxes(*(tf.constant([v]) for v in (50.0, 30.0, 20.0, 10.0, 1.0, 0.0)))
    np.testing.assert_allclose(oriented_box.to_corners(level), [[40, 25, 60, 25, 60, 35, 40, 35]])
    turned = OrientedBoxes(*(tf.constant([v]) for v in (50.0, 30.0, 20.0, 10.0, 0.0, 1.0)))  # reads downwards
    np.testing.assert_allclose(oriented_box.to_corners(turned), [[55, 20, 55, 40, 45, 40, 45, 20]], atol=1e-5)


def test_a_cell_says_a_box_around_itself() -> None:
    said = np.zeros((1, 3, 4, 7), np.float32)
    said[..., 1:5] = np.log(np.array([10, 4, 30, 6]) / oriented_box.UNIT)
    said[..., 5] = 2.0  # of any length
    x, y = (2 + 0.5) * CELL, (1 + 0.5) * CELL
    expected = [x - 10, y - 4, x + 30, y - 4, x + 30, y + 6, x - 10, y + 6]
    np.testing.assert_allclose(oriented_box.corners(tf.constant(said))[0, 1, 2], expected, rtol=1e-5)
