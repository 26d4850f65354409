"""Prepare images for the network: decode, fit, normalise. Training also distorts them, see `augment`.

Training and the exported model call the same `decode`, `fit` and `normalise`.
"""

import tensorflow as tf

from trainer.config.model import Model
from trainer.data.pipeline.rounding import HALF_WITHIN

PADDING = 114  # of 255: the grey level with which letterboxed images are padded


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
    return tf.cast(rounded(resized), tf.uint8)


def rounded(values: tf.Tensor) -> tf.Tensor:
    """Round float 0..255, halves upwards, on every runtime.

    If the sides have a simple ratio, such as 640 to 384, many resized values are exact halves except for the last bit,
    which depends on the runtime.
    """
    return tf.floor(tf.clip_by_value(values, 0.0, 255.0) + (0.5 + HALF_WITHIN))


def letterbox(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resize uint8 [h, w, 3] to fit into uint8 [height, width, 3], keeping the aspect ratio; pad right and bottom."""
    rows, columns = letterboxed(tf.shape(image)[0], tf.shape(image)[1], height, width)
    resized = rounded(tf.image.resize(image, [rows, columns], antialias=True))
    padded = tf.pad(resized, [[0, height - rows], [0, width - columns], [0, 0]], constant_values=PADDING)
    return tf.cast(tf.ensure_shape(padded, [height, width, 3]), tf.uint8)


def letterboxed(rows: tf.Tensor, columns: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the height and width, int32, of an image of that size after `letterbox`."""
    scale = tf.minimum(height / rows, width / columns)
    fitted = [tf.cast(tf.round(tf.cast(side, scale.dtype) * scale), tf.int32) for side in (rows, columns)]
    return tf.clip_by_value(fitted[0], 1, height), tf.clip_by_value(fitted[1], 1, width)


def size_of(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the height and width, int32 [], of a PNG or JPEG file, string [], without decoding its pixels."""

    def of_jpeg() -> tf.Tensor:
        return tf.io.extract_jpeg_shape(encoded)[:2]

    def of_png() -> tf.Tensor:  # width and height are at bytes 16 to 24, most significant byte first
        sides = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
        return sides[::-1]

    size = tf.ensure_shape(tf.cond(tf.io.is_jpeg(encoded), of_jpeg, of_png), [2])
    return size[0], size[1]


def decode_and_fit(encoded: tf.Tensor, model: Model) -> tf.Tensor:
    """Decode files, string [B], and fit each image to the model's input: uint8 [B, height, width, 3]."""
    height, width = model.image_height, model.image_width
    fitted = letterbox if model.finds else fit
    return tf.map_fn(
        lambda one: fitted(decode(one), height, width),
        encoded,
        fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
        parallel_iterations=8,
    )


def normalise(images: tf.Tensor) -> tf.Tensor:
    """Scale 0..255, as uint8 or float, to float32 -1..1."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0
