"""Facts about labelled images that may explain mistakes: size, sharpness, and where the number is."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.formats import records
from trainer.data.formats.tfrecord import Damaged
from trainer.data.images import image_kinds
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.data.pipeline.untuned import untuned

BATCH = 256
DIGITS = 4  # after the point, of the edges of a box


def of(images: LabelledImages) -> list[dict[str, Any]]:
    """Return for each image `width` and `height` in pixels, `sharpness`, and `box`; None where unknown.

    The sharpness is that of the model's input: see `sharpness`. The box of the number is left, top, right, bottom, 0-1.
    """
    sizes = list(_of_files(images))
    sharp = np.concatenate([sharpness(images.at(tf.constant(part)).numpy()) for part in _parts(len(images))])
    rows = ({**sizes[row], "sharpness": round(float(value), 1)} for row, value in zip(images.rows, sharp, strict=True))
    return list(rows)


def sharpness(images: np.ndarray) -> np.ndarray:
    """Return the variance of the Laplacian of each grey image, float32 [B], for uint8 [B, H, W, 3].

    It is small for blurred images (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy").
    """
    grey = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (around - 4 * middle).reshape(len(images), -1).var(axis=1)


def _parts(count: int) -> Iterator[np.ndarray]:
    for first in range(0, count, BATCH):
        yield np.arange(first, min(first + BATCH, count))


def _of_files(images: LabelledImages) -> Iterator[dict[str, Any]]:
    for data in untuned(tf.data.TFRecordDataset(list(images.paths))).as_numpy_iterator():
        found: dict[str, Any] = {"width": None, "height": None, "box": None}
        try:
            record = records.from_example(data)
            found["box"] = [round(float(edge), DIGITS) for edge in record.box] if record.box else None
            found["width"], found["height"] = image_kinds.open_image(io.BytesIO(record.encoded)).size
        except (Damaged, image_kinds.UnreadableImage):
            pass
        yield found
