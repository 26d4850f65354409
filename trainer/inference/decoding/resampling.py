"""Bilinear interpolation with operations that TensorFlow, XLA and ONNX all have, as fast as TensorFlow's own kernel."""

import tensorflow as tf

from trainer import graph


@graph.compiled  # so that a graph holds it once, not for each view
def bilinear(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Return the colours at points of images, float32 [..., *P, C]; beyond the border, the nearest pixel is repeated.

    Args:
      images: uint8 or float32 [..., H, W, C].
      x, y: float32 [*P], the points, the same in each image; pixel centres have integer coordinates.
    """
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    pixels = tf.reshape(images, tf.concat([tf.shape(images)[:-3], [height * width], tf.shape(images)[-1:]], axis=0))
    pixels = tf.ensure_shape(pixels, [*images.shape[:-3], None, images.shape[-1]])
    return _interpolated(pixels, 0, (height, width), x, y)


def bilinear_of_each(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Interpolate as `bilinear` does, images [B, H, W, C] at separate points for each image, float32 [B, h, w]."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    first = tf.range(tf.shape(images)[0])[:, tf.newaxis, tf.newaxis] * (height * width)
    return _interpolated(tf.reshape(images, [-1, images.shape[-1]]), first, (height, width), x, y)


def _interpolated(
    pixels: tf.Tensor, first: tf.Tensor | int, size: tuple[tf.Tensor, tf.Tensor], x: tf.Tensor, y: tf.Tensor
) -> tf.Tensor:
    """Return the colours at points, given pixels [..., N, C]; `first` is the index of the image's top left pixel."""
    height, width = size
    x = tf.clip_by_value(x, 0.0, tf.cast(width - 1, tf.float32))
    y = tf.clip_by_value(y, 0.0, tf.cast(height - 1, tf.float32))
    left, top = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    right, bottom = tf.minimum(left + 1, width - 1), tf.minimum(top + 1, height - 1)

    def colours(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.gather(pixels, first + row * width + column, axis=-2), tf.float32)

    top_left = colours(top, left)
    # Spread to the channels first: ONNX Runtime is slow at multiplying by a last dimension of 1.
    shape = tf.shape(top_left)
    from_left, from_top = (tf.broadcast_to((one - tf.floor(one))[..., tf.newaxis], shape) for one in (x, y))
    above = top_left + from_left * (colours(top, right) - top_left)
    bottom_left = colours(bottom, left)
    below = bottom_left + from_left * (colours(bottom, right) - bottom_left)
    return above + from_top * (below - above)
