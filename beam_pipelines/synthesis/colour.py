"""Distort colours in NumPy, with the same results as TensorFlow's operations, in the reference's ranges and orders.

Saturation and hue are adjusted through maximum, chroma and distance from the maximum, without a full conversion to
HSV and back. Images are float32 [H, W, 3], with 1.0 as white.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.data.pipeline import color_jitter

Pixels = NDArray[np.float32]


def distort(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Change brightness, saturation, hue and contrast at random, in one of the two orders, and clip to 0..1."""
    delta = rng.uniform(-color_jitter.BRIGHTNESS_DELTA, color_jitter.BRIGHTNESS_DELTA)
    saturation = rng.uniform(*color_jitter.SATURATION_RANGE)
    hue = rng.uniform(-color_jitter.HUE_DELTA, color_jitter.HUE_DELTA)
    contrast = rng.uniform(*color_jitter.CONTRAST_RANGE)
    steps = {
        "brightness": lambda x: adjust_brightness(x, delta),
        "saturation": lambda x: adjust_saturation(x, saturation),
        "hue": lambda x: adjust_hue(x, hue),
        "contrast": lambda x: adjust_contrast(x, contrast),
    }
    for name in color_jitter.ORDERS[rng.integers(2)]:
        pixels = steps[name](pixels)
    return np.clip(pixels, 0.0, 1.0)


def adjust_brightness(pixels: Pixels, delta: float) -> Pixels:
    """Adjust brightness as `tf.image.adjust_brightness` does."""
    return pixels + np.float32(delta)


def adjust_contrast(pixels: Pixels, factor: float) -> Pixels:
    """Adjust contrast as `tf.image.adjust_contrast` does: scale the distance from each channel's mean."""
    mean = pixels.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return (pixels - mean) * np.float32(factor) + mean


def adjust_saturation(pixels: Pixels, factor: float) -> Pixels:
    """Adjust saturation as `tf.image.adjust_saturation` does: scale the distance from the maximum, limited to it."""
    value = pixels.max(axis=-1, keepdims=True)
    chroma = value - pixels.min(axis=-1, keepdims=True)
    ratio = np.minimum(np.float32(factor), value / np.where(chroma > 0, chroma, 1))
    return value - (value - pixels) * np.where(value > 0, ratio, 0)


def adjust_hue(pixels: Pixels, delta: float) -> Pixels:
    """Adjust hue as `tf.image.adjust_hue` does: rotate it by a fraction of the circle; maximum and minimum stay."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    value = pixels.max(axis=-1)
    chroma = value - pixels.min(axis=-1)
    safe = np.where(chroma > 0, chroma, 1)
    sextant = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sextant += np.float32(6 * delta)
    # Each channel is the maximum minus a fraction of the chroma, given by the distance from the channel's own hue.
    shifted = (sextant[..., np.newaxis] + np.array([5, 3, 1], np.float32)) % np.float32(6)
    share = np.clip(np.minimum(shifted, 4 - shifted), 0, 1)
    return value[..., np.newaxis] - chroma[..., np.newaxis] * share
