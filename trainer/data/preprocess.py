"""Images on their way into the network: decode, fit, normalise; and, in training only, distort.

Training and the exported model call the same `decode`, `fit` and `normalise`.
"""

import tensorflow as tf


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """One PNG, JPEG, BMP or GIF file (its first frame), string [], to uint8 [height, width, 3].

    Raises:
      tf.errors.InvalidArgumentError: it is no such file, or is damaged.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        # With the pixels that other programs see: decode_image's fast transform is off by up to 4 of 255.
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return image


def fit(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes uint8 [h, w, 3] to uint8 [height, width, 3], not keeping the aspect, with anti-aliasing."""
    resized = tf.image.resize(image, [height, width], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def decode_and_fit(encoded: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """`fit` of `decode` for each of string [B]: uint8 [B, height, width, 3]."""
    return tf.map_fn(
        lambda one: fit(decode(one), height, width),
        encoded,
        fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
        parallel_iterations=8,
    )


def normalise(images: tf.Tensor) -> tf.Tensor:
    """uint8 0..255, or the same as float, to float32 -1..1."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
