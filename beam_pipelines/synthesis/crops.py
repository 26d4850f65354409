"""Assemble numbers from real digits on real backgrounds: cut from prepared records, matched and blended.

The digits of a number come from different photos. The ground and ink colours of each digit are mapped to those of the
first, and its edges are blended into a background: another photo whose number has been blurred away.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from beam_pipelines.synthesis import camera
from beam_pipelines.synthesis.fonts import Drawn
from beam_pipelines.synthesis.texts import TextSource
from trainer.cli import UserError
from trainer.data.formats import records, tfrecord
from trainer.data.formats.records import Box, Record
from trainer.data.formats.tfrecord import Damaged

FRAME = 0.12  # margin that is cut out around a digit and blended, relative to its height
SMALLEST = 14  # height of a usable digit, in pixels
CONTRAST = 55  # between ink and ground, of 255: with less, a blended and distorted digit is hardly legible
OFF_COLOUR = 0.3
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Digit:
    """One real digit: pixels with a frame around it, float32 [h, w, 3], and the colours of ground and ink, [3]."""

    pixels: Pixels
    ground: Pixels
    ink: Pixels

    @property
    def is_dark(self) -> bool:
        return float(self.ink.mean()) < float(self.ground.mean())


@dataclass(frozen=True)
class Stock:
    """Real digits by (character, whether it is dark on bright), and the records that they come from."""

    digits: dict[tuple[str, bool], list[Digit]]
    photos: list[Record]


@dataclass(frozen=True)
class RecombinedDigits:
    """Draws image `index` of a seed.

    Attributes:
      paths: shards with character boxes. Each worker holds the digits of the first `limit` records in memory.
    """

    seed: int
    texts: TextSource
    paths: tuple[str, ...]
    limit: int

    def __call__(self, index: int) -> Drawn:
        rng = np.random.default_rng([self.seed, index])
        stock = load(self.paths, self.limit)
        text = self.texts.draw(rng)
        dark = rng.random() < 0.5
        digits = [_pick(rng, stock, char, dark) for char in text]
        height = float(rng.uniform(18, 44))
        gap = rng.uniform(-FRAME, 0.2) * height
        patches = [_resized(digit, digits[0], height * rng.uniform(0.93, 1.07)) for digit in digits]
        spots, size = _lay_out(rng, patches, gap, height)
        canvas = _background(rng, stock, size, digits[0].ground)
        for patch, (x, y) in zip(patches, spots, strict=True):
            _blend(canvas, patch, x, y)
        image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
        photo = camera.photograph(rng, image, in_focus=True)  # the digits have blur of their own
        scale = photo.width / image.width, photo.height / image.height
        return Drawn(photo, text, tuple(_digit_box(p, s, scale) for p, s in zip(patches, spots, strict=True)))


def _pick(rng: np.random.Generator, stock: Stock, char: str, dark: bool) -> Digit:
    digits = stock.digits.get((char, dark)) or stock.digits[char, not dark]
    return digits[rng.integers(len(digits))]


def _resized(digit: Digit, like: Digit, height: float) -> Pixels:
    """Return the digit scaled to a height (without its frame), with ground and ink mapped to those of `like`."""
    factor = height * (1 + 2 * FRAME) / digit.pixels.shape[0]
    # The component of a colour along the line from ground to ink is mapped; most of the rest is removed.
    way, new_way = digit.ink - digit.ground, like.ink - like.ground
    along = (digit.pixels - digit.ground) @ way / (way @ way)
    off = digit.pixels - digit.ground - along[..., np.newaxis] * way
    pixels = like.ground + along[..., np.newaxis] * new_way + OFF_COLOUR * off
    size = max(3, round(digit.pixels.shape[1] * factor)), max(4, round(digit.pixels.shape[0] * factor))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)


def _lay_out(
    rng: np.random.Generator, patches: Sequence[Pixels], gap: float, height: float
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Return the position of each patch, (x, y), and the size of the image."""
    border = rng.uniform(0.02, 0.4, size=4) * height  # left, top, right, bottom
    tallest = max(patch.shape[0] for patch in patches)
    x = float(border[0])
    spots = []
    for patch in patches:
        spots.append((round(x), round(border[1] + (tallest - patch.shape[0]) / 2)))
        x += patch.shape[1] - FRAME * height + gap
    right = spots[-1][0] + patches[-1].shape[1]
    return spots, (int(right + border[2]) + 1, int(tallest + border[1] + border[3]) + 2)


def _background(rng: np.random.Generator, stock: Stock, size: tuple[int, int], ground: Pixels) -> Pixels:
    """Return a real photo with its number blurred away, and its colour shifted to that of the ground."""
    record = stock.photos[rng.integers(len(stock.photos))]
    image = Image.open(io.BytesIO(record.encoded)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    blurred = image.filter(ImageFilter.GaussianBlur(size[1] / 4))
    pixels = np.asarray(blurred, np.float32)
    grain = np.asarray(image, np.float32) - np.asarray(image.filter(ImageFilter.GaussianBlur(1)), np.float32)
    pixels = ground + 0.5 * (pixels - pixels.mean(axis=(0, 1))) + np.clip(grain, -8, 8)
    return pixels.astype(np.float32)


def _blend(canvas: Pixels, patch: Pixels, x: int, y: int) -> None:
    """Blend a patch into the canvas, fading it out across the width of the frame at its edges."""
    height, width = patch.shape[:2]
    frame = max(1.0, FRAME * height)
    across = np.minimum(np.arange(width) + 0.5, width - 0.5 - np.arange(width)) / frame
    down = np.minimum(np.arange(height) + 0.5, height - 0.5 - np.arange(height)) / frame
    alpha = np.clip(np.minimum(across, down[:, np.newaxis]), 0, 1)[..., np.newaxis].astype(np.float32)
    under = canvas[y : y + height, x : x + width]
    under += alpha * (patch - under)


def _digit_box(patch: Pixels, spot: tuple[int, int], scale: tuple[float, float]) -> Box:
    height, width = patch.shape[:2]
    frame = FRAME * height / (1 + 2 * FRAME)
    (x, y), (across, down) = spot, scale
    return (x + frame) * across, (y + frame) * down, (x + width - frame) * across, (y + height - frame) * down


@lru_cache(maxsize=1)
def load(paths: tuple[str, ...], limit: int) -> Stock:
    """Cut out the digits of the first `limit` records.

    Raises:
      UserError: they contain no usable digit, or a shard cannot be read.
    """
    stock = Stock({}, [])
    for path in paths:
        try:
            _add(path, limit, stock)
        except (Damaged, OSError, BeamIOError) as error:
            raise UserError(f"--records: {path} cannot be read ({error}): write the dataset again") from error
    if not stock.digits:
        raise UserError("--records: no record has character boxes: prepare a dataset with --format digitstruct")
    return stock


def _add(path: str, limit: int, stock: Stock) -> None:
    with FileSystems.open(path, compression_type="uncompressed") as file:
        for data in tfrecord.read_framed(file):
            if len(stock.photos) == limit:
                return
            record = records.from_example(data)
            if record.char_boxes:
                stock.photos.append(record)
                _cut(record, stock)


def _cut(record: Record, stock: Stock) -> None:
    image = Image.open(io.BytesIO(record.encoded)).convert("RGB")
    for char, (left, top, right, bottom) in zip(record.text, record.char_boxes, strict=True):
        frame = FRAME * (bottom - top) * image.height
        edges = left * image.width - frame, top * image.height - frame
        opposite = right * image.width + frame, bottom * image.height + frame
        box = max(0, int(edges[0])), max(0, int(edges[1])), round(opposite[0]), round(opposite[1])
        pixels = np.asarray(image.crop((*box[:2], min(box[2], image.width), min(box[3], image.height))), np.float32)
        if pixels.shape[0] < SMALLEST or pixels.shape[1] < SMALLEST / 3:
            continue
        digit = _measure(pixels)
        if np.abs(digit.ink - digit.ground).max() >= CONTRAST:
            stock.digits.setdefault((char, digit.is_dark), []).append(digit)


def _measure(pixels: Pixels) -> Digit:
    """Measure a digit's ground (the median of the rim) and ink (the mean of the fifth of pixels that differ most)."""
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(rim, axis=0)
    distance = np.abs(pixels - ground).sum(axis=-1)
    ink = pixels[distance >= np.quantile(distance, 0.8)].mean(axis=0)
    return Digit(pixels, ground.astype(np.float32), ink.astype(np.float32))
