"""Cut oriented regions out of photos at full resolution, rotated upright, with stacked characters laid side by side."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.data.labels.stacking import MOST_STACKED, PITCH
from trainer.inference.decoding import resampling
from trainer.models import oriented_box
from trainer.models.oriented_box import OrientedBoxes

# Each number is read with a narrow and with a wide margin, since a box may end before its first or last character.
MARGINS = ((0.2, 0.2), (0.5, 0.3))  # left and right, above and below, relative to the height of the characters
FINEST = 3  # samples per pixel of a cut and direction, averaged, so that large numbers do not alias
# Stacked characters are read with each of these: left and right, relative to the width of the box; above and below,
# relative to the height of one.
STACK_MARGINS = ((0.0, 0.15), (0.15, 0.15), (0.3, 0.3))
TALL = 1.5  # height of a region relative to its width, above which its characters may be stacked


def widened(corners: tf.Tensor, margin: tuple[float, float]) -> tf.Tensor:
    """Return the corners of numbers with a margin, float32 [K, 8]; in tall ones, characters count as stacked."""
    box = oriented_box.from_corners(corners)
    character = tf.minimum(box.width, box.height)
    width, height = (box.width + 2 * margin[0] * character, box.height + 2 * margin[1] * character)
    return oriented_box.to_corners(OrientedBoxes(box.x, box.y, width, height, box.cos, box.sin))


def cuts_of(found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return how to cut out the regions `found`, float32 [K, 8].

    Returns:
      The corners of N cuts, float32 [N, 8]; the region of each, int32 [N]; and the number of stacked characters that it
      shows side by side, int32 [N], 0 for a plain cut.
    """
    everything = tf.range(tf.shape(found)[0])
    cuts = [(0, everything, widened(found, margin)) for margin in MARGINS]
    for count in range(2, MOST_STACKED + 1):
        tall = tf.boolean_mask(everything, may_stack(found, count))
        cuts += [(count, tall, column(tf.gather(found, tall), count, margin)) for margin in STACK_MARGINS]
    counts, owners, corners = zip(*cuts, strict=True)
    stacked = [tf.fill(tf.shape(of), count) for count, of in zip(counts, owners, strict=True)]
    return tf.concat(corners, axis=0), tf.concat(owners, axis=0), tf.concat(stacked, axis=0)


def cut(image: tf.Tensor, corners: tf.Tensor, stacked: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Cut regions out of an image; beyond its border, the nearest pixel is repeated.

    Args:
      image: uint8 [H, W, 3].
      corners: float32 [K, 8] in pixels of the image, x, y, clockwise from what becomes the top left corner.
      stacked: int32 [K], 1 to `MOST_STACKED`: cut the region into that many equal parts from top to bottom, and lay
        these side by side from left to right.
      height, width: of each cut, in pixels.
    Returns:
      float32 [K, height, width, 3], 0 to 255. Not rounded: engines place boxes differently by some 1e-4 pixels, which
      would change the last bit of many pixels.
    """
    across, down = corners[:, 2:4] - corners[:, 0:2], corners[:, 6:8] - corners[:, 0:2]
    counts, columns = tf.cast(stacked, tf.float32), tf.gather(_part_widths(width), stacked - 1)
    # No reductions: those of ONNX Runtime before 1.24 fail if there are no regions.
    across, down = (tf.sqrt(side[:, 0] ** 2 + side[:, 1] ** 2) for side in (across, down))
    shrunk = tf.maximum(across / columns, down / (height * counts))
    fineness = tf.clip_by_value(tf.cast(tf.math.ceil(shrunk), tf.int32), 1, FINEST)
    parts, places = [], []
    for fine in range(1, FINEST + 1):
        place = tf.where(fineness == fine)[:, 0]
        parts.append(_averaged(image, tf.gather(corners, place), tf.gather(stacked, place), height, width, fine))
        places.append(place)
    return tf.gather(tf.concat(parts, axis=0), tf.argsort(tf.concat(places, axis=0)))


def _averaged(
    image: tf.Tensor, corners: tf.Tensor, stacked: tf.Tensor, height: int, width: int, fine: int
) -> tf.Tensor:
    """Cut as `cut` does, with `fine` samples per pixel and direction, computed one at a time to bound the memory."""
    parts = tf.cast(stacked, tf.float32)[:, tf.newaxis, tf.newaxis]
    rows = tf.range(height, dtype=tf.float32)[:, tf.newaxis]
    x, y = corners[:, ::2, tf.newaxis, tf.newaxis], corners[:, 1::2, tf.newaxis, tf.newaxis]  # [K, 4, 1, 1]
    sums = tf.zeros([tf.shape(corners)[0], height, width, 3])
    for i in range(fine * fine):
        # Corners count pixel i as i to i + 1; `bilinear` has pixel centres at integers.
        inside, part = _places(width, (i % fine + 0.5) / fine)
        right = tf.gather(inside, stacked - 1)[:, tf.newaxis]  # [K, 1, W]
        below = (tf.gather(part, stacked - 1)[:, tf.newaxis] + (rows + (i // fine + 0.5) / fine) / height) / parts
        sums += resampling.bilinear(
            image,
            x[:, 0] + (x[:, 1] - x[:, 0]) * right + (x[:, 3] - x[:, 0]) * below - 0.5,
            y[:, 0] + (y[:, 1] - y[:, 0]) * right + (y[:, 3] - y[:, 0]) * below - 0.5,
        )
    return sums / (fine * fine)


def _part_widths(width: int) -> NDArray[np.float32]:
    """Return the width of each part of a cut, if there are 1, 2, ... `MOST_STACKED` of them."""
    return np.array([width // count for count in range(1, MOST_STACKED + 1)], np.float32)


def _places(width: int, shift: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each column's sample position within its part, 0..1, and the index of the part; both [MOST_STACKED, W].

    Columns left over beyond the last part mirror the columns before them.

    Args:
      width: of the cut, in pixels.
      shift: from the left of a column to the sample, in pixels.
    """
    widths = _part_widths(width)[:, np.newaxis]
    counts = np.arange(1, MOST_STACKED + 1)[:, np.newaxis]
    samples = np.arange(width, dtype=np.float32) + np.float32(shift)
    mirrored = np.minimum(samples, 2 * widths * counts - samples)
    part = mirrored // widths
    return (mirrored / widths - part).astype(np.float32), part.astype(np.float32)


def may_stack(corners: tf.Tensor, count: int) -> tf.Tensor:
    """Return which regions, float32 [K, 8], are so tall that `count` characters may be stacked in them: bool [K]."""
    box = oriented_box.from_corners(corners)
    tallness = box.height / tf.maximum(box.width, 1e-6)
    return (tallness > TALL) & (tallness >= count * PITCH[0]) & (tallness <= count * PITCH[1])


def column(corners: tf.Tensor, count: int, margin: tuple[float, float]) -> tf.Tensor:
    """Return regions in which `count` characters are stacked, float32 [K, 8], with a margin of `STACK_MARGINS`."""
    box, (beside, above) = oriented_box.from_corners(corners), margin
    width, height = box.width * (1 + 2 * beside), box.height * (1 + 2 * above / count)
    return oriented_box.to_corners(OrientedBoxes(box.x, box.y, width, height, box.cos, box.sin))
