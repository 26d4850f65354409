"""Reading a picture in several views at once: cut closer, as it is, from farther away, cut to what was attended to.

Pictures stand side by side on the batch axis, all of the first view, then all of the second; what beam search carries
along has the view as its third axis, so that it can reorder hypotheses without knowing of views.
"""

from typing import Any

import tensorflow as tf

# How far a closer view reaches from the middle of the attention: so many standard deviations, and a share of the side.
REACH_DOWN, REACH_ACROSS = (3.0, 0.12), (2.5, 0.06)


def of(images: tf.Tensor, zooms: tuple[float, ...]) -> tf.Tensor:
    """Views of float [B, H, W, 3] around its middle, [views * B, H, W, 3]; the border is repeated."""
    return tf.concat([images if zoom == 1.0 else _zoom(images, zoom) for zoom in zooms], axis=0)


def _zoom(images: tf.Tensor, zoom: float) -> tf.Tensor:
    height, width = images.shape[1], images.shape[2]
    left, top = (1 - 1 / zoom) * (width - 1) / 2, (1 - 1 / zoom) * (height - 1) / 2
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.constant([[1 / zoom, 0, left, 0, 1 / zoom, top, 0, 0]], tf.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def closer(images: tf.Tensor, attention: tf.Tensor) -> tf.Tensor:
    """Pictures cut to what was attended to: some standard deviations of it around its mean, within the border.

    Args:
      images: float [B, H, W, 3].
      attention: float32 [B, rows, columns] over the picture, each summing to 1.
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
    """Tensors [views * B, K, ...] to [B, K, views, ...]."""

    def one(x: tf.Tensor) -> tf.Tensor:
        apart = tf.reshape(x, tf.concat([[count, -1], tf.shape(x)[1:]], 0))
        moved = tf.transpose(apart, [1, 2, 0, *range(3, apart.shape.rank)])
        return tf.ensure_shape(moved, [None, None, count, *x.shape[2:]])

    return tf.nest.map_structure(one, state)


def apart(state: Any) -> Any:
    """The inverse of `together`."""

    def one(x: tf.Tensor) -> tf.Tensor:
        moved = tf.transpose(x, [2, 0, 1, *range(3, x.shape.rank)])
        flat = tf.reshape(moved, tf.concat([[-1], tf.shape(moved)[2:]], 0))
        return tf.ensure_shape(flat, [None, None, *x.shape[3:]])

    return tf.nest.map_structure(one, state)


def agreed(logits: tf.Tensor, count: int) -> tf.Tensor:
    """The views' mean log probabilities, float32 [B, K, V], of logits [views * B, K, V]."""
    log_probs = tf.nn.log_softmax(logits)
    return tf.reduce_mean(tf.reshape(log_probs, tf.concat([[count, -1], tf.shape(logits)[1:]], 0)), axis=0)
