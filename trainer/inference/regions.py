"""Cut oriented regions out of photos at full resolution, turned upright."""

import tensorflow as tf

from trainer.models import oriented_box

MARGIN = 0.2  # around a number on each side, relative to the height of its characters
FINENESS = 3  # samples per pixel of a cut and direction, averaged, so that large numbers do not alias


def widened(corners: tf.Tensor) -> tf.Tensor:
    """Return boxes with a margin, float32 [K, 8], for corners of numbers; the characters of a tall one are stacked."""
    box = oriented_box.from_corners(corners)
    margin = 2 * MARGIN * tf.minimum(box.width, box.height)
    return oriented_box.to_corners(
        oriented_box.OrientedBoxes(box.x, box.y, box.width + margin, box.height + margin, box.cos, box.sin)
    )


def cut(image: tf.Tensor, corners: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Cut regions out of an image; beyond its border, the nearest pixel is repeated.

    Args:
      image: uint8 [H, W, 3].
      corners: float32 [K, 8] in pixels of the image, x, y, clockwise from what becomes the top left corner.
      height, width: of each cut, in pixels.
    Returns:
      uint8 [K, height, width, 3].
    """
    rows, columns = height * FINENESS, width * FINENESS
    origin, across, down = corners[:, 0:2], corners[:, 2:4], corners[:, 6:8]
    right, below = (across - origin) / columns, (down - origin) / rows
    # Pixel i covers i to i + 1, and the transform is between the middles of pixels.
    start = origin + (right + below) / 2 - 0.5
    zero = tf.zeros_like(start)
    matrix = tf.stack([right[:, 0], below[:, 0], start[:, 0], right[:, 1], below[:, 1], start[:, 1]], axis=1)
    transforms = tf.concat([matrix, zero], axis=1)

    def sampled(transform: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=image[tf.newaxis],
            transforms=transform[tf.newaxis],
            output_shape=[rows, columns],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )[0]

    fine = tf.map_fn(sampled, transforms, fn_output_signature=tf.TensorSpec([rows, columns, 3], tf.uint8))
    averaged = tf.nn.avg_pool2d(tf.cast(fine, tf.float32), FINENESS, FINENESS, "VALID")
    return tf.cast(tf.round(averaged), tf.uint8)
