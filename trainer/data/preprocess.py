"""Prepare images for the network: decode, fit, normalise. Training also distorts them, see `augment`.

Training and the exported model call the same `decode`, `fit` and `normalise`.
"""

import tensorflow as tf


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decode one PNG, JPEG, BMP or GIF file (its first frame), string [], to uint8 [height, width, 3].

    Raises:
      tf.errors.InvalidArgumentError: it is not such a file, or is damaged.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        # Gives the same pixels as other programs: decode_image's fast transform is off by up to 4 of 255.
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return image


def fit(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resize uint8 [h, w, 3] to uint8 [height, width, 3] with anti-aliasing, without keeping the aspect ratio."""
    resized = tf.image.resize(image, [height, width], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def decode_and_fit(encoded: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Decode and fit each of string [B] files: uint8 [B, height, width, 3]."""
    return tf.map_fn(
        lambda one: fit(decode(one), height, width),
        encoded,
        fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
        parallel_iterations=8,
    )


def normalise(images: tf.Tensor) -> tf.Tensor:
    """Scale 0..255, as uint8 or float, to float32 -1..1."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
