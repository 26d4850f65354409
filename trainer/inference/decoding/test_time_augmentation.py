"""Test-time augmentation: read several views of an image together: zoomed, rotated, cropped to the attended region.

Views are concatenated on the batch axis, all images of the first view, then all of the second; the state that beam
search carries along has the view as its third axis, so that it can reorder hypotheses without knowing about views.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.inference.decoding import resampling

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
    start = middle - back @ middle
    columns, rows = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, tf.newaxis]
    x, y = (turned[0] * columns + turned[1] * rows + first for turned, first in zip(back, start, strict=True))
    return resampling.bilinear(images, x, y)


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
    first, last = (tf.clip_by_value(edge, 0.0, 1.0)[:, :, tf.newaxis] for edge in (middle - reach, middle + reach))
    rows, columns = (first + (last - first) * tf.linspace(0.0, 1.0, side) for side in images.shape[1:3])
    y, x = rows[:, 0, :, tf.newaxis] * (images.shape[1] - 1), columns[:, 1, tf.newaxis] * (images.shape[2] - 1)
    return resampling.bilinear_of_each(images, *(tf.broadcast_to(one, tf.shape(x + y)) for one in (x, y)))


def together(state: Any, count: int) -> Any:
    """Change tensors [views * B, K, ...] to [B, K, views, ...]."""
    return tf.nest.map_structure(lambda x: tf.stack(tf.split(x, count), axis=2), state)


def apart(state: Any) -> Any:
    """Invert `together`."""
    return tf.nest.map_structure(lambda x: tf.concat(tf.unstack(x, axis=2), axis=0), state)


def agreed(logits: tf.Tensor, count: int) -> tf.Tensor:
    """Return the mean log probabilities over the views, float32 [B, K, V], for logits [views * B, K, V]."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_mean(tf.reshape(log_probs, tf.concat([[count, -1], tf.shape(logits)[1:]], 0)), axis=0)
