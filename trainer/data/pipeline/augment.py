"""Random distortion of training images."""

import functools
import math

import tensorflow as tf

from trainer import graph
from trainer.config.schema import Distortion
from trainer.data.pipeline import color_jitter

NOISE_FIELDS = 8  # drawn per batch and shared among its images: drawing one per image would be too slow


def distort(images: tf.Tensor, config: Distortion, *, seed: tf.Tensor) -> tf.Tensor:
    """Distort a batch, each image independently.

    Args:
      images: uint8 [B, H, W, 3].
      config: what may change, and how much.
      seed: int32 [2]; the same seed gives the same batch.
    Returns:
      float32 [B, H, W, 3] in 0..255.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))
    images = _warp(tf.cast(images, tf.float32), config, seeds[0])  # 1.7 times faster than on uint8
    if config.coarsen:
        images = _coarsen(images, config.coarsen, seeds[4])
    if config.colour:
        images = 255.0 * distort_colour(images / 255.0, seed=seeds[1])
    if config.noise:
        images += _noise(tf.shape(images), config.noise, seeds[2])
    if config.invert:
        chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[3]) < config.invert
        images = tf.where(chosen, 255.0 - images, images)
    return tf.clip_by_value(images, 0.0, 255.0)


def move(points: tf.Tensor, height: int, width: int, config: Distortion, *, seed: tf.Tensor) -> tf.Tensor:
    """Return where `distort` with the same seed moves points, float32 [B, P, 2]: x, y in pixels of the image."""
    maps = _random_maps(tf.shape(points)[0], height, width, config, tf.unstack(tf.random.split(seed, 5))[0])
    to_input = tf.reshape(tf.pad(maps, [[0, 0], [0, 1]], constant_values=1.0), [-1, 3, 3])
    # Points count pixel i as i to i + 1; the maps have pixel centres at integers.
    moved = tf.linalg.matmul(
        tf.pad(points - 0.5, [[0, 0], [0, 0], [0, 1]], constant_values=1.0), tf.linalg.inv(to_input), transpose_b=True
    )
    return moved[..., :2] / moved[..., 2:] + 0.5


def distort_colour(images: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
    """Distort brightness, saturation, hue and contrast in the reference's ranges, each image in one of its two orders.

    Args:
      images: float32 [B, H, W, 3] in 0..1.
      seed: int32 [2].
    Returns:
      float32 [B, H, W, 3] in 0..1.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))
    shape = [tf.shape(images)[0], 1, 1, 1]

    def uniform(index: int, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, seeds[index], low, high)

    return _adjust_colour(
        images,
        brightness=uniform(0, -color_jitter.BRIGHTNESS_DELTA, color_jitter.BRIGHTNESS_DELTA),
        contrast=uniform(1, *color_jitter.CONTRAST_RANGE),
        contrast_last=uniform(2, 0.0, 1.0) < 0.5,
        saturation=uniform(3, *color_jitter.SATURATION_RANGE),
        hue=uniform(4, -color_jitter.HUE_DELTA, color_jitter.HUE_DELTA),
    )


# With XLA this is one pass over the pixels, 4.5 times faster. The random numbers are drawn outside, or compilation
# would take four times as long, which is most of the startup time of a short training run.
@functools.partial(graph.compiled, jit_compile=True)
def _adjust_colour(
    images: tf.Tensor,
    *,
    brightness: tf.Tensor,
    contrast: tf.Tensor,
    contrast_last: tf.Tensor,
    saturation: tf.Tensor,
    hue: tf.Tensor,
) -> tf.Tensor:
    """Adjust the colours of images, float32 [B, H, W, 3] in 0..1, each by its own values, [B, 1, 1, 1].

    Both orders start with brightness and have hue right after saturation. They differ only in whether
    contrast comes before or after those two, so one round trip through HSV serves both.
    """
    images = _adjust_contrast(images + brightness, tf.where(contrast_last, 1.0, contrast))
    hues, saturations, values = tf.split(tf.image.rgb_to_hsv(images), 3, axis=-1)
    saturations = tf.clip_by_value(saturations * saturation, 0.0, 1.0)
    hues = tf.math.floormod(hues + hue, 1.0)
    images = tf.image.hsv_to_rgb(tf.concat([hues, saturations, values], axis=-1))
    images = _adjust_contrast(images, tf.where(contrast_last, contrast, 1.0))
    return tf.clip_by_value(images, 0.0, 1.0)


def _adjust_contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return (images - mean) * factor + mean


def _noise(shape: tf.Tensor, largest: float, seed: tf.Tensor) -> tf.Tensor:
    seeds = tf.unstack(tf.random.split(seed, 3))
    fields = tf.random.stateless_normal(tf.concat([[NOISE_FIELDS], shape[1:]], 0), seeds[0])
    chosen = tf.random.stateless_uniform(shape[:1], seeds[1], 0, NOISE_FIELDS, tf.int32)
    deviation = tf.random.stateless_uniform([shape[0], 1, 1, 1], seeds[2], 0.0, largest)
    return tf.gather(fields, chosen) * deviation


def _coarsen(images: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Shrink a proportion of the images to 0.3 to 0.8 of their size and enlarge them again.

    All images of a batch are shrunk to the same size: a separate resize for each would take longer than the step.
    """
    height, width = images.shape[1], images.shape[2]
    seeds = tf.unstack(tf.random.split(seed, 2))
    scale = tf.random.stateless_uniform([], seeds[0], 0.3, 0.8)
    small = tf.cast(tf.round(scale * tf.constant([height, width], tf.float32)), tf.int32)
    coarse = tf.image.resize(tf.image.resize(images, small, antialias=True), [height, width])
    chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seeds[1]) < share
    return tf.where(chosen, coarse, images)


def _warp(images: tf.Tensor, config: Distortion, seed: tf.Tensor) -> tf.Tensor:
    """Apply a random projective map to each image; outside the image, the nearest pixel is repeated."""
    height, width = images.shape[1], images.shape[2]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_random_maps(tf.shape(images)[0], height, width, config, seed),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _random_maps(count: tf.Tensor, height: int, width: int, config: Distortion, seed: tf.Tensor) -> tf.Tensor:
    """Return maps from output to input pixels, float32 [count, 8]; the last entry of each 3x3 matrix is 1."""
    seeds = tf.unstack(tf.random.split(seed, 9))

    def uniform(index: int, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform([count], seeds[index], low, high)

    angle = uniform(0, -config.rotate_degrees, config.rotate_degrees) * (math.pi / 180)
    shear, climb = uniform(1, -config.shear, config.shear), uniform(8, -config.climb, config.climb)
    zoom = 1.0 / uniform(2, *config.scale)
    stretch = 1.0 + uniform(3, -config.stretch, config.stretch)
    cos, sin = tf.cos(angle), tf.sin(angle)
    zero, one = tf.zeros_like(angle), tf.ones_like(angle)
    linear = tf.stack(
        [
            tf.stack([zoom * stretch * cos, zoom * (shear - sin), zero], -1),
            tf.stack([zoom * (climb + sin), zoom * cos, zero], -1),
            tf.stack(
                [
                    uniform(6, -config.perspective, config.perspective) * (2.0 / width),
                    uniform(7, -config.perspective, config.perspective) * (2.0 / height),
                    one,
                ],
                -1,
            ),
        ],
        axis=1,
    )
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    shift_x = centre_x + uniform(4, -config.shift, config.shift) * width
    shift_y = centre_y + uniform(5, -config.shift, config.shift) * height
    back = tf.stack(
        [tf.stack([one, zero, shift_x], -1), tf.stack([zero, one, shift_y], -1), tf.stack([zero, zero, one], -1)],
        axis=1,
    )
    to_centre = tf.constant([[1.0, 0.0, -centre_x], [0.0, 1.0, -centre_y], [0.0, 0.0, 1.0]])
    matrix = back @ linear @ to_centre
    matrix /= matrix[:, 2:, 2:]
    return tf.reshape(matrix, [-1, 9])[:, :8]
