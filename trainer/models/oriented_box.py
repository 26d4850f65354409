"""Oriented boxes in TensorFlow: convert between corners, centres, and the values in the finder's map."""

from dataclasses import dataclass

import tensorflow as tf

from trainer.models.finder import CELL

UNIT = 24.0  # pixels; distances in the map are logarithms in this unit
FURTHEST = 4.0  # the largest logarithm: exp(4) units
COORDINATES = 8


@dataclass(frozen=True)
class OrientedBoxes:
    """Boxes by their centre, size and direction; all float32 [..., N] in pixels, except the unit vector (cos, sin).

    The direction is that of the top edge, in reading direction.
    """

    x: tf.Tensor
    y: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    cos: tf.Tensor
    sin: tf.Tensor


def from_corners(corners: tf.Tensor) -> OrientedBoxes:
    """Return the oriented boxes nearest to quadrilaterals, float32 [..., 8]: x, y clockwise from the top left."""
    x, y = corners[..., ::2], corners[..., 1::2]
    right_x = (x[..., 1] - x[..., 0] + x[..., 2] - x[..., 3]) / 2
    right_y = (y[..., 1] - y[..., 0] + y[..., 2] - y[..., 3]) / 2
    down_x = (x[..., 3] - x[..., 0] + x[..., 2] - x[..., 1]) / 2
    down_y = (y[..., 3] - y[..., 0] + y[..., 2] - y[..., 1]) / 2
    width, height = tf.sqrt(right_x**2 + right_y**2), tf.sqrt(down_x**2 + down_y**2)
    safe = tf.maximum(width, 1e-6)
    middle_x, middle_y = (tf.add_n(tf.unstack(one, 4, axis=-1)) / 4 for one in (x, y))
    return OrientedBoxes(middle_x, middle_y, width, height, right_x / safe, right_y / safe)


def to_corners(box: OrientedBoxes) -> tf.Tensor:
    """Return the corners of boxes, float32 [..., 8]: x, y clockwise from the top left."""
    points = []
    for across, down in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        right, below = across * box.width, down * box.height
        points += [box.x + right * box.cos - below * box.sin, box.y + right * box.sin + below * box.cos]
    return tf.stack(points, axis=-1)


def cells(height: tf.Tensor | int, width: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the centre of each cell of a map in pixels: x float32 [1, W], y float32 [H, 1]."""
    xs = (tf.range(width, dtype=tf.float32) + 0.5) * CELL
    ys = (tf.range(height, dtype=tf.float32) + 0.5) * CELL
    return xs[tf.newaxis, :], ys[:, tf.newaxis]


def distances(said: tf.Tensor) -> tf.Tensor:
    """Return the distances in pixels, from each cell of a map to the left, top, right and bottom side: [..., 4]."""
    return UNIT * tf.exp(tf.clip_by_value(said[..., 1:5], -FURTHEST, FURTHEST))


def direction(said: tf.Tensor) -> tf.Tensor:
    """Return the unit vectors (cos, sin) in the map, float32 [..., 2]."""
    return tf.math.l2_normalize(said[..., 5:7], axis=-1, epsilon=1e-6)


def corners(said: tf.Tensor) -> tf.Tensor:
    """Return the corners of the box that each cell predicts, float32 [B, H, W, 8] in pixels, for a map [B, H, W, 7]."""
    xs, ys = cells(tf.shape(said)[1], tf.shape(said)[2])
    left, top, right, bottom = tf.unstack(distances(said), axis=-1)
    cos, sin = tf.unstack(direction(said), axis=-1)
    points = []
    for across, down in ((-left, -top), (right, -top), (right, bottom), (-left, bottom)):
        points += [xs + across * cos - down * sin, ys + across * sin + down * cos]
    return tf.stack(points, axis=-1)
