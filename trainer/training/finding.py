"""Train the finder: its loss combines a focal loss of centres, the overlap of boxes, and their direction."""

from typing import Any

import tensorflow as tf

from trainer.config.schema import Config
from trainer.inference.photos.number_finder import NumberFinder
from trainer.models import oriented_box
from trainer.models.finder import CELL, PureFinder
from trainer.models.oriented_box import OrientedBoxes
from trainer.training.loss import Loss

SPREAD = 0.54 / 6  # standard deviation of a centre's Gaussian relative to the box's side (TTFNet, Liu et al. 2020)
NARROWEST = 0.45 * CELL  # the smallest standard deviation, in pixels
NEAR = 0.3  # cells where the Gaussian is higher learn the box
SMALLEST = 0.5 * CELL  # pixels of height; centres of less tall numbers are ignored by the loss
VISIBLE = 0.7  # proportion of the box inside the image; centres of less visible numbers are ignored, too
BOX_WEIGHT, DIRECTION_WEIGHT = 2.0, 1.0


class Finding:
    """The finder with its loss on batches of `image` float32 [B, H, W, 3] and `corners` float32 [B, N, 8].

    The corners are in pixels of the image; those of absent numbers are NaN.
    """

    figure = "box_overlap"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.network = PureFinder(config.model, seed=config.seed, precision=config.precision)

    def predictor(self, params: Any, state: Any) -> NumberFinder:
        """Return a finder with these values by path."""
        return NumberFinder(self.network, params, state, self.config)

    def embed(self, params: Any, state: Any, images: tf.Tensor) -> tf.Tensor:
        """Return the mean of the map."""
        return tf.reduce_mean(self.network.look(params, state, images), axis=[1, 2])

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> Loss:
        """Return the mean over the numbers of a batch; `box_overlap` is the mean intersection over union."""
        said, next_state = self.network.teach(params, state, batch["image"], step=step)
        total, overlap, count = losses(said, batch["corners"])
        return Loss(total / count, next_state, {self.figure: overlap / count}, count)


def losses(said: tf.Tensor, corners: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the summed loss, the summed overlap of the boxes, and the number of boxes (at least 1): float32 [].

    Args:
      said: the output map of the network, float32 [B, H, W, 7].
      corners: float32 [B, N, 8] in pixels, NaN for absent numbers.
    """
    height, width = tf.shape(said)[1], tf.shape(said)[2]
    xs, ys = oriented_box.cells(height, width)
    present = ~tf.reduce_any(tf.math.is_nan(corners), axis=-1)
    boxes = oriented_box.from_corners(tf.where(present[..., tf.newaxis], corners, 0.0))
    known = present & _visible(boxes, tf.cast(width * CELL, tf.float32), tf.cast(height * CELL, tf.float32))
    right, down = _in_frame(boxes, xs, ys)
    bumps = _bumps(boxes, right, down) * tf.cast(known, tf.float32)[..., tf.newaxis, tf.newaxis]
    ignored = present & ~known
    inside = (tf.abs(right) < _wide(boxes.width) / 2 + CELL) & (tf.abs(down) < _wide(boxes.height) / 2 + CELL)
    free = ~tf.reduce_any(inside & ignored[..., tf.newaxis, tf.newaxis], axis=1)
    centres = _focal(said[..., 0], tf.reduce_max(bumps, axis=1), tf.cast(free, tf.float32))
    overlaps, turns, overlap = _box_losses(said, boxes, bumps, right, down)
    count = tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32)), 1.0)
    return centres + BOX_WEIGHT * overlaps + DIRECTION_WEIGHT * turns, overlap, count


def _wide(values: tf.Tensor) -> tf.Tensor:
    return values[..., tf.newaxis, tf.newaxis]


def _visible(boxes: OrientedBoxes, width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    """Return which boxes are large enough, with their centre and most of their area in the image, bool [B, N]."""
    across = tf.abs(boxes.width * boxes.cos) + tf.abs(boxes.height * boxes.sin)
    tall = tf.abs(boxes.width * boxes.sin) + tf.abs(boxes.height * boxes.cos)
    shares = []
    for middle, extent, side in ((boxes.x, across, width), (boxes.y, tall, height)):
        low, high = tf.maximum(middle - extent / 2, 0.0), tf.minimum(middle + extent / 2, side)
        shares.append((high - low) / tf.maximum(extent, 1e-6))
    inside = (boxes.x > 0) & (boxes.x < width) & (boxes.y > 0) & (boxes.y < height)
    return inside & (shares[0] * shares[1] > VISIBLE) & (tf.minimum(boxes.width, boxes.height) > SMALLEST)


def _in_frame(boxes: OrientedBoxes, xs: tf.Tensor, ys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each cell's offset from each box's centre along the box's own axes, two float32 [B, N, H, W]."""
    across, down = xs - _wide(boxes.x), ys - _wide(boxes.y)
    cos, sin = _wide(boxes.cos), _wide(boxes.sin)
    return across * cos + down * sin, down * cos - across * sin


def _bumps(boxes: OrientedBoxes, right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
    """Return a Gaussian around each centre, stretched like its box, 1 at the nearest cell, float32 [B, N, H, W]."""
    wide = tf.maximum(_wide(boxes.width) * SPREAD, NARROWEST)
    tall = tf.maximum(_wide(boxes.height) * SPREAD, NARROWEST)
    bumps = tf.exp(-(right**2) / (2 * wide**2) - down**2 / (2 * tall**2))
    return bumps / tf.maximum(tf.reduce_max(bumps, axis=(2, 3), keepdims=True), 1e-6)


def _focal(logits: tf.Tensor, heat: tf.Tensor, free: tf.Tensor) -> tf.Tensor:
    """Return the sum of CenterNet's focal loss, with exponents 2 and 4, over the cells where `free` is true."""
    p = tf.sigmoid(logits)
    positive = tf.cast(heat > 0.999, tf.float32)
    losses = positive * (1 - p) ** 2 * tf.nn.softplus(-logits)
    losses += (1 - positive) * free * (1 - heat) ** 4 * p**2 * tf.nn.softplus(logits)
    return tf.reduce_sum(losses)


def _box_losses(
    said: tf.Tensor, boxes: OrientedBoxes, bumps: tf.Tensor, right: tf.Tensor, down: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the summed losses of overlap (GIoU, Rezatofighi et al. 2019) and direction, and the summed overlap.

    Each number weighs 1, divided among the cells near its centre; a cell learns the number whose Gaussian is highest
    there. The overlap is measured along the box's own axes, as if the predicted direction were correct.
    """
    owner = tf.one_hot(tf.argmax(bumps, axis=1), tf.shape(bumps)[1], axis=1)
    mass = owner * bumps * tf.cast(bumps > NEAR, tf.float32)
    mass /= tf.maximum(tf.reduce_sum(mass, axis=(2, 3), keepdims=True), 1e-6)
    share = tf.reduce_sum(mass, axis=1)
    half = (_wide(boxes.width) / 2, _wide(boxes.height) / 2)
    truth = [half[0] + right, half[1] + down, half[0] - right, half[1] - down]
    left, top, rest, bottom = (tf.reduce_sum(owner * side, axis=1) for side in truth)
    overlap, enclosing = _overlap(tf.unstack(oriented_box.distances(said), axis=-1), [left, top, rest, bottom])
    direction = tf.stack([tf.reduce_sum(owner * _wide(part), axis=1) for part in (boxes.cos, boxes.sin)], axis=-1)
    turn = tf.reduce_sum(tf.abs(oriented_box.direction(said) - direction), axis=-1)
    turn += 0.1 * tf.reduce_sum((said[..., 5:7] - direction) ** 2, axis=-1)  # keeps the vector near length 1
    return (
        tf.reduce_sum(share * (1 - overlap + enclosing)),
        tf.reduce_sum(share * turn),
        tf.reduce_sum(share * overlap),
    )


def _overlap(one: list[tf.Tensor], other: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the intersection over union of boxes given by distances from a common point, and GIoU's penalty."""
    across = tf.maximum(tf.minimum(one[0], other[0]) + tf.minimum(one[2], other[2]), 0.0)
    down = tf.maximum(tf.minimum(one[1], other[1]) + tf.minimum(one[3], other[3]), 0.0)
    areas = [(box[0] + box[2]) * (box[1] + box[3]) for box in (one, other)]
    both = across * down
    union = areas[0] + areas[1] - both
    hull = (tf.maximum(one[0], other[0]) + tf.maximum(one[2], other[2])) * (
        tf.maximum(one[1], other[1]) + tf.maximum(one[3], other[3])
    )
    return both / tf.maximum(union, 1e-3), (hull - union) / tf.maximum(hull, 1e-3)
