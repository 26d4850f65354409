"""Simulate capture: blur, lighting, downscaling, noise, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter

from beam_pipelines.synthesis import colour

SHORTEST = 18  # images are not shrunk below this height in pixels, so that digits stay readable


def photograph(rng: np.random.Generator, canvas: Image.Image, *, in_focus: bool = False) -> Image.Image:
    """Return a photo of a scene, unblurred if `in_focus`; it may be smaller than the scene."""
    if not in_focus:
        canvas = _blur(rng, canvas)
    pixels = np.asarray(canvas, np.float32)
    height, width = pixels.shape[:2]
    slope_x, slope_y = rng.normal(0, 0.18, size=2)
    light = 1 + slope_x * np.linspace(-1, 1, width) + slope_y * np.linspace(-1, 1, height)[:, np.newaxis]
    pixels = pixels * light[..., np.newaxis].astype(np.float32) / 255
    pixels = colour.distort(pixels, rng)
    image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    if rng.random() < 0.3 and height > 2 * SHORTEST:
        factor = rng.uniform(max(0.5, SHORTEST / height), 1)
        image = image.resize((max(8, round(width * factor)), round(height * factor)), Image.Resampling.BILINEAR)
    strength = rng.uniform(0, 6)
    noise = rng.standard_normal((image.height, image.width, 3), np.float32) * np.float32(strength)
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    return _jpeg(image, int(rng.integers(30, 90))) if rng.random() < 0.35 else image


def _blur(rng: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """Blur the scene as if out of focus or in motion, in proportion to its height, or leave it unchanged."""
    kind = rng.random()
    most = float(np.clip(canvas.height / 45, 0.2, 1.5))
    if kind < 0.6:
        return canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.15, most))))
    if kind < 0.7:
        length = float(rng.uniform(most / 3, most))
        return canvas.filter(ImageFilter.BoxBlur((length, 0) if rng.random() < 0.7 else (0, length)))
    return canvas


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
