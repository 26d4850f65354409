"""Test-time augmentation: several views of an image at once: zoomed in or out, rotated, cropped to the attended region.

Views are concatenated on the batch axis, all images of the first view, then all of the second; the state that beam
search carries along has the view as its third axis, so that it can reorder hypotheses without knowing about views.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

# How far a closer view extends from the mean of the attention: standard deviations, plus a fraction of the side.
REACH_DOWN, REACH_ACROSS = (3.0, 0.12), (2.5, 0.06)


def of(images: tf.Tensor, zooms: tuple[float, ...], tilts: tuple[float, ...] = ()) -> tf.Tensor:
    """Return views of float [B, H, W, 3] around the centre, [views * B, H, W, 3]; border pixels are repeated.

    Args:
      images: the images.
      zooms: one view for each; above 1 zooms in.
      tilts: clockwise rotations in degrees, one more view for each.
    """
    changes = [(zoom, 0.0) for zoom in zooms] + [(1.0, tilt) for tilt in tilts]
    return tf.concat([images if change == (1.0, 0.0) else _seen(images, *change) for change in changes], axis=0)


def _seen(images: tf.Tensor, zoom: float, tilt: float) -> tf.Tensor:
    height, width = images.shape[1], images.shape[2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    cos, sin = math.cos(math.radians(tilt)) / zoom, math.sin(math.radians(tilt)) / zoom
    back = np.array([[cos, sin], [-sin, cos]])  # from view to image coordinates
    rows = np.column_stack([back, middle - back @ middle])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.constant([[*rows[0], *rows[1], 0.0, 0.0]], tf.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def closer(images: tf.Tensor, attention: tf.Tensor) -> tf.Tensor:
    """Crop images to the attended region: some standard deviations around the mean of the attention.

    Args:
      images: float [B, H, W, 3].
      attention: float32 [B, rows, columns] over the image, each summing to 1.
    """
    middles, reaches = [], []
    for axis, (deviations, margin) in ((1, REACH_DOWN), (2, REACH_ACROSS)):
        weights = tf.reduce_sum(attention, axis=3 - axis)
        places = (tf.range(weights.shape[1], dtype=tf.float32) + 0.5) / weights.shape[1]
        mean = tf.reduce_sum(weights * places, axis=1, keepdims=True)
        variance = tf.reduce_sum(weights * tf.square(places - mean), axis=1, keepdims=True)
        middles.append(mean)
        reaches.append(deviations * tf.sqrt(variance) + margin)
    middle, reach = tf.concat(middles, axis=1), tf.concat(reaches, axis=1)
    boxes = tf.clip_by_value(tf.concat([middle - reach, middle + reach], axis=1), 0.0, 1.0)
    return tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])


def together(state: Any, count: int) -> Any:
    """Reshape tensors [views * B, K, ...] to [B, K, views, ...]."""

    def one(x: tf.Tensor) -> tf.Tensor:
        apart = tf.reshape(x, tf.concat([[count, -1], tf.shape(x)[1:]], 0))
        moved = _transpose(apart, [1, 2, 0, *range(3, apart.shape.rank)])
        return tf.ensure_shape(moved, [None, None, count, *x.shape[2:]])

    return tf.nest.map_structure(one, state)


def apart(state: Any) -> Any:
    """Invert `together`."""

    def one(x: tf.Tensor) -> tf.Tensor:
        moved = _transpose(x, [2, 0, 1, *range(3, x.shape.rank)])
        flat = tf.reshape(moved, tf.concat([[-1], tf.shape(moved)[2:]], 0))
        return tf.ensure_shape(flat, [None, None, *x.shape[3:]])

    return tf.nest.map_structure(one, state)


def _transpose(x: tf.Tensor, axes: list[int]) -> tf.Tensor:
    """Transpose, with integers cast to floats: oneDNN logs an error if the CPU has no fast path for integers."""
    return tf.cast(tf.transpose(tf.cast(x, tf.float32), axes), x.dtype)


def agreed(logits: tf.Tensor, count: int) -> tf.Tensor:
    """Return the mean log probabilities over the views, float32 [B, K, V], for logits [views * B, K, V]."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_mean(tf.reshape(log_probs, tf.concat([[count, -1], tf.shape(logits)[1:]], 0)), axis=0)
