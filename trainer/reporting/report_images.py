"""Load images for the report, as thumbnails embedded in the page: from dataset records, and from scored files."""

import base64
import hashlib
import io
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf
from PIL import Image

from trainer import graph
from trainer.cli import UserError
from trainer.data.formats import dataset_info, prediction_rows, records
from trainer.data.images import image_io, image_kinds
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline.untuned import untuned
from trainer.files import first_contact, local_file
from trainer.reporting.section import located

log = logging.getLogger(__name__)

SIDE = 320  # pixels, of the longer side
CUT_SIDE = 160  # of a region cut out of an image
MOST_PIXELS = 4000  # of a side of a region before it is shrunk
QUALITY = 85
GLOW = (255, 120, 0)  # of attention, visible on dark and bright images
OPACITY = 0.75


@dataclass(frozen=True)
class Thumbnail:
    """An image as a data URL, empty if it cannot be shown; the width and height in pixels of the original."""

    url: str = ""
    width: int = 1
    height: int = 1

    @property
    def id(self) -> str:
        """The id in the page, which holds each image once."""
        return "image-" + hashlib.sha256(f"{self.width} {self.height} {self.url}".encode()).hexdigest()[:12]


MISSING = Thumbnail()


def in_datasets(keys: Iterable[str], folders: Iterable[str], split: str) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the keys and image files of records; records that can no longer be read are missing."""
    wanted = set(keys)
    for folder in folders:
        try:
            info = dataset_info.read_info(folder)
            paths = dataset_info.shard_paths(folder, info, split)
            dataset = tf.data.TFRecordDataset(paths).batch(256)
            batches = dataset.map(graph.as_written(lambda raw, n=info.max_length: records.parse_batch(raw, n)))
            for batch in untuned(batches).as_numpy_iterator():
                for key, encoded in zip(batch["image/key"], batch["image/encoded"], strict=True):
                    if key.decode() in wanted:
                        wanted.remove(key.decode())
                        yield key.decode(), io.BytesIO(encoded)
                if not wanted:
                    return
        except (UserError, tf.errors.OpError) as error:
            log.warning("the report lacks images of %s: %s", folder, str(error).splitlines()[0])


def of_row(row: dict[str, Any], folder: str | None = None) -> Thumbnail:
    """Return the image file of a row of predictions; `MISSING` if the image is not a file, or is gone.

    Args:
      row: the row.
      folder: the working directory of the scoring run, None if unknown.
    """
    path = row["key"]
    if not prediction_rows.is_image_file(row):
        return MISSING
    try:
        if "://" in path:
            first_contact.check_bucket("the image", path)
            with tf.io.gfile.GFile(path, "rb") as file:
                return of_file(io.BytesIO(file.read()))
        with local_file.open_regular(located(path, folder)) as file:
            return of_file(file)
    except (OSError, ValueError, tf.errors.OpError):
        return MISSING


def of_pixels(pixels: np.ndarray) -> Thumbnail:
    """Return an image, uint8 [H, W, 3]."""
    image = Image.fromarray(pixels)
    return Thumbnail(_smallest_url(image), *image.size)


def of_attention(weights: list[list[int]]) -> str:
    """Return a data URL of a highlight to be stretched over the image: one pixel for each of [rows, columns], 0-255."""
    mask = np.asarray(weights, float)
    pixels = np.empty((*mask.shape, 4), np.uint8)
    pixels[..., :3] = GLOW
    pixels[..., 3] = np.clip(OPACITY * mask, 0, 255)
    return _url(Image.fromarray(pixels, "RGBA"), "PNG")


def of_file(file: BinaryIO) -> Thumbnail:
    """Return an image file; `MISSING` if it cannot be decoded."""
    try:
        shrunk = image_io.for_model(file, ModelInput(SIDE, SIDE))
    except image_kinds.UnreadableImage:
        return MISSING
    image = shrunk.image
    image.thumbnail((SIDE, SIDE))
    return Thumbnail(_smallest_url(image), *shrunk.original)


def of_cut(file: BinaryIO, corners: Sequence[float]) -> Thumbnail:
    """Return a region of an image file, turned upright; `MISSING` if it cannot be decoded.

    Args:
      file: the image.
      corners: x and y of each in pixels, clockwise from what becomes the top left.
    """
    try:
        shrunk = image_io.for_model(file, ModelInput(SIDE, SIDE))
    except image_kinds.UnreadableImage:
        return MISSING
    xs, ys = (
        [edge / factor for edge in edges]
        for edges, factor in zip((corners[::2], corners[1::2]), shrunk.factors, strict=True)
    )
    sides = (math.hypot(xs[i] - xs[0], ys[i] - ys[0]) for i in (1, 3))
    size = [max(1, min(round(side), MOST_PIXELS)) for side in sides]
    # Pillow wants the corners anticlockwise.
    around = [edge for i in (0, 3, 2, 1) for edge in (xs[i], ys[i])]
    image = shrunk.image.transform((size[0], size[1]), Image.Transform.QUAD, around, Image.Resampling.BICUBIC)
    image.thumbnail((CUT_SIDE, CUT_SIDE))
    return Thumbnail(_smallest_url(image), *image.size)


def _smallest_url(image: Image.Image) -> str:
    """Return the image as PNG or JPEG: photos are many times smaller as JPEG, tiny and plain images as PNG."""
    return min(_url(image, "PNG", optimize=True), _url(image, "JPEG", quality=QUALITY, optimize=True), key=len)


def _url(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
