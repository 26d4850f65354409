"""Provide real numbers for scenes: whole photos with boxes, cutouts of their numbers, and stacks of their digits."""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray
from PIL import Image

from trainer.cli import UserError
from trainer.data.formats import records, tfrecord
from trainer.data.formats.records import Box, Number, Record
from trainer.data.formats.tfrecord import Damaged
from trainer.data.labels import box_corners

MARGIN = (0.1, 0.3)  # cut out around a number, relative to its height
QUARTER_TURN = {True: Image.Transpose.ROTATE_270, False: Image.Transpose.ROTATE_90}  # clockwise; Pillow's is the other
LEAST_HEIGHT = 10  # pixels; less tall numbers are not worth enlarging


@dataclass(frozen=True)
class Photo:
    """A real photo as an encoded file, its numbers, and the boxes of the first number's characters, 0-1."""

    encoded: bytes
    numbers: tuple[Number, ...]
    char_boxes: tuple[Box, ...]

    def open(self) -> Image.Image:
        return Image.open(io.BytesIO(self.encoded)).convert("RGB")


@dataclass(frozen=True)
class Piece:
    """A piece of a photo, the text of the number in it, and the number's corners in its pixels, float64 [4, 2]."""

    image: Image.Image
    text: str
    corners: NDArray[np.float64]


@lru_cache(maxsize=2)
def load(paths: tuple[str, ...], limit: int) -> tuple[Photo, ...]:
    """Read the first `limit` records that have boxes; empty if there are no shards.

    Raises:
      UserError: no record of the shards has a box, or a shard cannot be read.
    """
    photos: list[Photo] = []
    for path in paths:
        try:
            with FileSystems.open(path, compression_type="uncompressed") as file:
                for data in tfrecord.read_framed(file):
                    if len(photos) == limit:
                        return tuple(photos)
                    photos += _with_boxes(records.from_example(data))
        except (Damaged, OSError, BeamIOError) as error:
            raise UserError(f"{path} cannot be read ({error}): write the dataset again") from error
    if paths and not photos:
        raise UserError(f"{paths[0]}: no record has boxes: prepare a dataset from images with boxes")
    return tuple(photos)


def _with_boxes(record: Record) -> list[Photo]:
    numbers = tuple(record.numbers)
    if not numbers and record.box:
        numbers = (Number(record.text, box_corners.of_box(record.box)),)
    return [Photo(record.encoded, numbers, tuple(record.char_boxes))] if numbers else []


def cut(rng: np.random.Generator, photo: Photo) -> Piece | None:
    """Cut a number out of a photo with a little of its surroundings; None if it is too small or at the edge."""
    image = photo.open()
    number = photo.numbers[rng.integers(len(photo.numbers))]
    corners = np.array(number.corners).reshape(4, 2) * image.size
    low, high = corners.min(axis=0), corners.max(axis=0)
    height = float(np.linalg.norm(corners[3] - corners[0]))
    if height < LEAST_HEIGHT or low.min() < 0 or (high > image.size).any():
        return None
    margin = rng.uniform(*MARGIN, 4) * height
    left, top = (int(v) for v in np.maximum(0, low - margin[:2]))
    right, bottom = (int(np.ceil(v)) for v in np.minimum(image.size, high + margin[2:]))
    return Piece(image.crop((left, top, right, bottom)), number.text, corners - (left, top))


def stack(rng: np.random.Generator, photos: tuple[Photo, ...]) -> Piece | None:
    """Stack real digits, matched to the first in brightness and contrast; None if one is too small."""
    patches, text, size = [], "", int(rng.integers(24, 44))
    for _ in range(rng.integers(2, 5)):
        digit = _digit(rng, photos[rng.integers(len(photos))])
        if digit is None:
            return None
        patches.append(digit[0])
        text += digit[1]
    first = np.asarray(patches[0], np.float32)
    matched = [_matched(np.asarray(patch, np.float32), first) for patch in patches]
    resized = [p.resize((max(4, round(p.width * size / p.height)), size), Image.Resampling.BILINEAR) for p in matched]
    gap, margin, widest = int(rng.uniform(0, 0.9) * size), int(0.2 * size), max(patch.width for patch in resized)
    ground = tuple(int(v) for v in np.median(first.reshape(-1, 3), axis=0))
    height = len(resized) * (size + gap) - gap
    sheet = Image.new("RGB", (widest + 2 * margin, height + 2 * margin), ground)
    for i, patch in enumerate(resized):
        sheet.paste(patch, (margin + (widest - patch.width) // 2, margin + i * (size + gap)))
    right, bottom = margin + widest, margin + height
    corners = np.array([(margin, margin), (right, margin), (right, bottom), (margin, bottom)], float)
    return Piece(sheet, text, corners)


def turned(piece: Piece, *, clockwise: bool) -> Piece:
    """Rotate a piece by 90 degrees."""
    relative = box_corners.of_values((piece.corners / piece.image.size).ravel())
    image = piece.image.transpose(QUARTER_TURN[clockwise])
    corners = np.array(box_corners.turned(relative, clockwise=clockwise)).reshape(4, 2) * image.size
    return Piece(image, piece.text, corners)


def _digit(rng: np.random.Generator, photo: Photo) -> tuple[Image.Image, str] | None:
    """Return one digit, cut out, and its character; None if the photo has no digit boxes or the digit is too small."""
    if not photo.char_boxes or len(photo.char_boxes) != len(photo.numbers[0].text):
        return None
    image, at = photo.open(), int(rng.integers(len(photo.char_boxes)))
    left, top, right, bottom = np.array(photo.char_boxes[at]) * (*image.size, *image.size)
    if bottom - top < LEAST_HEIGHT or right - left < 3:
        return None
    frame = 0.05 * (bottom - top)
    box = int(max(0, left - frame)), int(max(0, top - frame)), int(right + frame) + 1, int(bottom + frame) + 1
    return image.crop(box), photo.numbers[0].text[at]


def _matched(pixels: NDArray[np.float32], like: NDArray[np.float32]) -> Image.Image:
    scale = np.clip((like.std() + 5) / (pixels.std() + 5), 0.5, 2)
    return Image.fromarray(np.clip((pixels - np.median(pixels)) * scale + np.median(like), 0, 255).astype(np.uint8))
