"""Parse the corners of all numbers in records, the training targets of a finder."""

import numpy as np
import tensorflow as tf

from trainer.cli import UserError
from trainer.config.model import Model
from trainer.data.formats import records
from trainer.data.pipeline import preprocess


def parse(serialized: tf.Tensor, encoded: tf.Tensor, box: tf.Tensor, model: Model) -> tf.Tensor:
    """Return the corners of all numbers in pixels of the model's input, float32 [B, N, 8]; see `LabelledImages`.

    Records of schema version 1 have only the upright box of one number.
    """
    if not model.finds:
        return tf.zeros([tf.shape(encoded)[0], 0, records.COORDINATES])
    corners = records.parse_corners(serialized)
    left, top, right, bottom = tf.unstack(tf.where(box < 0, float("nan"), box), axis=-1)
    upright = tf.stack([left, top, right, top, right, bottom, left, bottom], axis=-1)[:, tf.newaxis]
    unlisted = tf.reduce_all(tf.math.is_nan(corners), axis=[1, 2])[:, tf.newaxis, tf.newaxis]
    corners = tf.concat([tf.where(unlisted, upright, float("nan")), corners], axis=1)
    height, width = tf.map_fn(preprocess.size_of, encoded, fn_output_signature=(tf.int32, tf.int32))
    rows, columns = preprocess.letterboxed(height, width, model.image_height, model.image_width)
    extent = tf.cast(tf.stack([columns, rows] * 4, axis=-1), tf.float32)
    return corners * extent[:, tf.newaxis]


def check(fields: dict[str, np.ndarray], folders: list[str]) -> None:
    """Check that every number has a box.

    Raises:
      UserError: one has none.
    """
    without = np.isnan(fields["corners"]).all(axis=(1, 2)) & (fields["label/text"] != b"")
    if without.any():
        raise UserError(
            f"{', '.join(folders)}: {without.sum():,} images have a number but no box, the first "
            f"{fields['image/key'][without][0].decode()!r}: a finder can only learn from numbers with boxes"
        )


def pad(parts: list[dict[str, np.ndarray]]) -> None:
    """Give all parts the same number of corners."""
    most = max(part["corners"].shape[1] for part in parts)
    for part in parts:
        spare = most - part["corners"].shape[1]
        part["corners"] = np.pad(part["corners"], ((0, 0), (0, spare), (0, 0)), constant_values=np.nan)
