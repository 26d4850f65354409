"""Find out where a model looked for each character of the answers that a report shows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.formats import records
from trainer.data.pipeline import preprocess
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.data.pipeline.untuned import untuned
from trainer.inference.evaluating import notable_photos
from trainer.inference.exports.exported_model import ExportedModel
from trainer.inference.measuring import notable
from trainer.inference.photos import regions
from trainer.inference.predictor import Predictor

AT_ONCE = 64  # images

Row = dict[str, Any]


def add(rows: Sequence[Row], images: LabelledImages, predictor: Predictor) -> None:
    """Add to the rows in `notable.shown` where the model looked for each character of its answer, as `attention`.

    It is a list of rows of columns for each character, in integers from 0 to 255, the character's highest weight.
    """
    chosen = {id(row) for kind in notable.shown(rows).values() for row in kind}
    places = [i for i, row in enumerate(rows) if id(row) in chosen and row["candidates"][0]]
    for first in range(0, len(places), AT_ONCE):
        part = places[first : first + AT_ONCE]
        pixels = preprocess.normalise(images.at(tf.constant(part)))
        looks = predictor.attention_to(pixels, [rows[i]["candidates"][0] for i in part])
        if looks is None:
            return
        for i, look in zip(part, looks, strict=True):
            rows[i]["attention"] = _stored(look)


def add_to_photos(rows: Sequence[Row], shards: Sequence[str], reader: ExportedModel) -> None:
    """Add to the best number of the rows in `notable_photos.shown` where the recogniser looked.

    That is `attention`, as for `add`, and `cut`, the corners in pixels of what the recogniser saw. Both are missing
    where it reads another text in each plain cut of the box: in most stacked numbers, whose characters it reads side
    by side.

    Args:
      rows: of a finder's `answers.jsonl`.
      shards: the TFRecord files with the photos.
      reader: the recogniser.
    """
    shown = notable_photos.shown(rows)
    chosen = {row["key"]: row for kind in shown.values() for row in kind if notable_photos.answers(row)}
    for serialized in untuned(tf.data.TFRecordDataset(shards)).as_numpy_iterator() if chosen else ():
        record = records.from_example(serialized)
        if (row := chosen.pop(record.key, None)) is not None:
            number = notable_photos.answers(row)[0]
            number |= _look(tf.constant(record.encoded), number, row, reader)


def _look(encoded: tf.Tensor, number: Row, row: Row, reader: ExportedModel) -> Row:
    for corners, cut in _cuts(preprocess.decode(encoded), number, row, reader.image_size):
        found = reader.attention(tf.io.encode_png(cut).numpy())
        if found is None:
            break
        text, look = found
        if text == number["text"]:
            return {"cut": [round(float(edge), 1) for edge in corners], "attention": _stored(look[: len(text)])}
    return {}


def _cuts(
    photo: tf.Tensor, number: Row, row: Row, size: tuple[int, int]
) -> Iterator[tuple[Iterable[float], tf.Tensor]]:
    """Yield the corners and the pixels of what the recogniser may have seen of a number, uint8 [height, width, 3]."""
    if notable_photos.is_whole(number, row):
        yield number["box"], preprocess.fit(photo, *size)
        return
    for margin in regions.MARGINS:
        corners = regions.widened(tf.constant([number["box"]]), margin)
        cut = regions.cut(photo, corners, tf.constant([1]), *size)[0]
        yield corners[0].numpy(), tf.cast(preprocess.rounded(cut), tf.uint8)


def _stored(look: np.ndarray) -> list[list[list[int]]]:
    """Return weights, float [T, rows, columns], as integers relative to the highest of each character."""
    highest = np.maximum(look.max(axis=(1, 2), keepdims=True), 1e-9)
    stored: list[list[list[int]]] = np.round(255 * look / highest).astype(int).tolist()
    return stored
