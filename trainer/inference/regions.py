"""Cut oriented regions out of photos at full resolution, turned upright, and stacked characters laid side by side."""

import tensorflow as tf

from trainer.models import oriented_box
from trainer.models.oriented_box import OrientedBoxes

# Each number is read with a narrow and with a wide margin, since a box may end before its first or last character.
MARGINS = ((0.2, 0.2), (0.5, 0.3))  # left and right, above and below, relative to the height of the characters
FINEST = 3  # samples per pixel of a cut and direction, averaged, so that large numbers do not alias
# Stacked characters are read with each of these: left and right, relative to the width of the box; above and below,
# relative to the height of one.
STACK_MARGINS = ((0.0, 0.15), (0.15, 0.15), (0.3, 0.3))
MOST_STACKED = 5  # characters
TALL = 1.5  # height of a region relative to its width, above which its characters may be stacked
PITCH = (1.2, 2.5)  # from one stacked character to the next, relative to their width


def widened(corners: tf.Tensor, margin: tuple[float, float]) -> tf.Tensor:
    """Return numbers with a margin, float32 [K, 8], for their corners; in tall ones, characters are stacked."""
    box = oriented_box.from_corners(corners)
    character = tf.minimum(box.width, box.height)
    width, height = (box.width + 2 * margin[0] * character, box.height + 2 * margin[1] * character)
    return oriented_box.to_corners(OrientedBoxes(box.x, box.y, width, height, box.cos, box.sin))


def cut(image: tf.Tensor, corners: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Cut regions out of an image; beyond its border, the nearest pixel is repeated.

    Args:
      image: uint8 [H, W, 3].
      corners: float32 [K, 8] in pixels of the image, x, y, clockwise from what becomes the top left corner.
      height, width: of each cut, in pixels.
    Returns:
      uint8 [K, height, width, 3].
    """
    origin, across, down = corners[:, 0:2], corners[:, 2:4] - corners[:, 0:2], corners[:, 6:8] - corners[:, 0:2]
    shrunk = tf.maximum(tf.norm(across, axis=1) / width, tf.norm(down, axis=1) / height)
    fineness = tf.clip_by_value(tf.cast(tf.math.ceil(shrunk), tf.int32), 1, FINEST)

    def sampled(region: tuple[tf.Tensor, ...]) -> tf.Tensor:
        origin, across, down, fine = region
        right, below = across / tf.cast(width * fine, tf.float32), down / tf.cast(height * fine, tf.float32)
        # Pixel i covers i to i + 1, and the transform is between the middles of pixels.
        start = origin + (right + below) / 2 - 0.5
        matrix = tf.stack([right[0], below[0], start[0], right[1], below[1], start[1], 0.0, 0.0])
        samples = tf.raw_ops.ImageProjectiveTransformV3(
            images=image[tf.newaxis],
            transforms=matrix[tf.newaxis],
            output_shape=[height * fine, width * fine],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        per_pixel = tf.reshape(tf.cast(samples, tf.float32), [height, fine, width, fine, 3])
        return tf.cast(tf.round(tf.reduce_mean(per_pixel, axis=(1, 3))), tf.uint8)

    regions = (origin, across, down, fineness)
    return tf.map_fn(sampled, regions, fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8))


def may_stack(corners: tf.Tensor, count: int) -> tf.Tensor:
    """Return which regions, float32 [K, 8], are so tall that `count` characters may be stacked in them: bool [K]."""
    box = oriented_box.from_corners(corners)
    tallness = box.height / tf.maximum(box.width, 1e-6)
    return (tallness > TALL) & (tallness >= count * PITCH[0]) & (tallness <= count * PITCH[1])


def columns(corners: tf.Tensor, count: int) -> tf.Tensor:
    """Return regions in which `count` characters are stacked, float32 [K, 8], with each margin: float32 [M * K, 8]."""
    margins = tf.repeat(tf.constant(STACK_MARGINS), tf.shape(corners)[0], axis=0)
    box = oriented_box.from_corners(tf.tile(corners, [len(STACK_MARGINS), 1]))
    width, height = box.width * (1 + 2 * margins[:, 0]), box.height * (1 + 2 * margins[:, 1] / count)
    return oriented_box.to_corners(OrientedBoxes(box.x, box.y, width, height, box.cos, box.sin))


def side_by_side(image: tf.Tensor, corners: tf.Tensor, count: int, height: int, width: int) -> tf.Tensor:
    """Cut regions in which characters are stacked into equal parts, and lay these side by side from left to right.

    Args:
      image: uint8 [H, W, 3].
      corners: float32 [K, 8].
      count: how many parts.
      height, width: of each result, in pixels.
    Returns:
      uint8 [K, height, width, 3].
    """
    parts = tf.split(cut(image, corners, height * count, width // count), count, axis=1)
    return tf.pad(tf.concat(parts, axis=2), [[0, 0], [0, 0], [0, width % count], [0, 0]], "SYMMETRIC")
