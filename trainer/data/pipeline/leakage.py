"""Detect evaluation images that the model was trained on.

Images are matched by key, by encoded bytes and, if they were decoded, by pixels as the model sees them,
so a copy that was renamed or re-encoded is found, too.
"""

import io
import zlib

import numpy as np
import tensorflow as tf

from trainer.cli import UserError
from trainer.files import whole_file

TRAINED_ON_FILE = "trained_on.npy"
EVALUATE_OTHERS = "evaluate on other images, or give --allow-seen and use the figures only for diagnosis"


def fingerprints(keys: tf.Tensor, encoded: tf.Tensor, images: tf.Tensor | None) -> tf.Tensor:
    """Return fingerprints of keys and encoded files, string [B], and pixels, uint8 [B, H, W, 3]: int64 [B, 2 or 3]."""
    parts = [keys, encoded] if images is None else [keys, encoded, images]
    return tf.stack([tf.bitcast(tf.fingerprint(part), tf.int64) for part in parts], axis=1)


def seen(found: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """Return which rows of fingerprints, int64 [N, 2 or 3], match any that were trained on, of any shape: bool [N]."""
    return np.any(np.isin(found, trained_on), axis=1)


def checksum(found: np.ndarray) -> str:
    """Return eight hexadecimal digits that differ if the images or their order differ."""
    return f"{zlib.crc32(np.ascontiguousarray(found).tobytes()):08x}"


def check(keys: list[str], found: np.ndarray, trained_on: np.ndarray, *, data: str, advice: str) -> None:
    """Refuse images that were trained on.

    Args:
      keys: of the images, N.
      found: their fingerprints, int64 [N, 2 or 3].
      trained_on: the fingerprints of all training images, of any shape.
      data: what the images are, for the message.
      advice: what to do about it, for the message.
    Raises:
      UserError: there are such images; the message counts them and names one.
    """
    known = np.isin(found, trained_on)
    leaked = known.any(axis=1)
    if leaked.any():
        raise UserError(
            f"{leaked.sum()} of the {len(keys)} images of {data} were also trained on, e.g. "
            f"{keys[int(leaked.argmax())]!r} ({known[:, 0].sum()} have the same key, "
            f"{known[:, 1:].any(axis=1).sum()} are the same image): {advice}"
        )


def remembered(workdir: str) -> np.ndarray:
    """Return the fingerprints of all images that a work folder was ever trained on, int64 [M], sorted.

    Raises:
      UserError: the file of the fingerprints is damaged.
    """
    path = f"{workdir}/{TRAINED_ON_FILE}"
    if not tf.io.gfile.exists(path):
        return np.zeros(0, np.int64)
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(
            f"{path} is damaged ({error}): without it, images that were trained on cannot be detected; delete it only "
            "if you do not need that check"
        ) from error


def remember(workdir: str, trained_on: np.ndarray) -> None:
    """Add fingerprints of any shape to those of the work folder."""
    before = remembered(workdir)
    merged = np.union1d(before, trained_on)
    if len(merged) == len(before):
        return
    buffer = io.BytesIO()
    np.save(buffer, merged)
    whole_file.write(f"{workdir}/{TRAINED_ON_FILE}", buffer.getvalue())
