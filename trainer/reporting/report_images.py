"""Load images for the report, as thumbnails embedded in the page: from dataset records, and from scored files."""

import base64
import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
QUALITY = 85
GLOW = (255, 120, 0)  # of attention, visible on dark and bright images
OPACITY = 0.75


@dataclass(frozen=True)
class Thumbnail:
    """An image as a data URL, empty if it cannot be shown; the width and height in pixels of the original."""

    url: str = ""
    width: int = 1
    height: int = 1


MISSING = Thumbnail()


def of_datasets(keys: Iterable[str], folders: Iterable[str], split: str) -> dict[str, Thumbnail]:
    """Return the images of records by their keys; records that can no longer be read are missing."""
    wanted, found = set(keys), dict[str, Thumbnail]()
    for folder in folders:
        try:
            info = dataset_info.read_info(folder)
            paths = dataset_info.shard_paths(folder, info, split)
            dataset = tf.data.TFRecordDataset(paths).batch(256)
            batches = dataset.map(graph.as_written(lambda raw, n=info.max_length: records.parse_batch(raw, n)))
            for batch in untuned(batches).as_numpy_iterator():
                for key, encoded in zip(batch["image/key"], batch["image/encoded"], strict=True):
                    if key.decode() in wanted:
                        found[key.decode()] = _thumbnail(io.BytesIO(encoded))
                if len(found) == len(wanted):
                    return found
        except (UserError, tf.errors.OpError) as error:
            log.warning("the report lacks images of %s: %s", folder, str(error).splitlines()[0])
    return found


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
                return _thumbnail(io.BytesIO(file.read()))
        with local_file.open_regular(located(path, folder)) as file:
            return _thumbnail(file)
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


def _thumbnail(file: Any) -> Thumbnail:
    """Return an image file; `MISSING` if it cannot be decoded."""
    try:
        shrunk = image_io.for_model(file, ModelInput(SIDE, SIDE))
    except image_kinds.UnreadableImage:
        return MISSING
    image = shrunk.image
    image.thumbnail((SIDE, SIDE))
    return Thumbnail(_smallest_url(image), *shrunk.original)


def _smallest_url(image: Image.Image) -> str:
    """Return the image as PNG or JPEG: photos are many times smaller as JPEG, tiny and plain images as PNG."""
    return min(_url(image, "PNG", optimize=True), _url(image, "JPEG", quality=QUALITY, optimize=True), key=len)


def _url(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
