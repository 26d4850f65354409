"""Files of ours that appear whole or not at all, on local disks and in buckets, and the JSON in them."""

import json
import os
import uuid
from typing import Any

from trainer.cli import UserError


def write(path: str, content: str | bytes) -> None:
    """Write a file under a temporary name beside it and rename it, so that a reader finds the old or the new one.

    Raises:
      OSError or tf.errors.OpError: it could not be written; what was there before is untouched.
    """
    import tensorflow as tf

    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        with tf.io.gfile.GFile(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        _sync(temporary)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
        raise


def write_json(path: str, value: Any) -> None:
    """`write` a value as JSON that people can read, too."""
    write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str, *, advice: str) -> dict[str, Any] | None:
    """Return the object in a JSON file, None where the file does not exist.

    Args:
      path: the file.
      advice: what the user can do about a damaged file.
    Raises:
      UserError: the file is damaged, e.g. empty since the machine lost power.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.NotFoundError:
        return None
    except tf.errors.FailedPreconditionError as error:  # a folder
        raise UserError(f"{path} is not a file: {advice}") from error
    if not content.strip():
        raise UserError(f"{path} is empty: {advice}")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): {advice}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (not a JSON object): {advice}")
    return value


def append_line(path: str, line: str) -> None:
    """Append a line to a file, on a line of its own even where a killed process left half a line."""
    import tensorflow as tf

    torn = tf.io.gfile.exists(path) and _last_byte(path) not in (b"", b"\n")
    with tf.io.gfile.GFile(path, "ab") as file:
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")


def _last_byte(path: str) -> bytes:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(max(file.size() - 1, 0))
        return file.read(1)


def _sync(path: str) -> None:
    """Have a local file on the disk before it is renamed, or a loss of power may leave an empty one under its name."""
    if "://" not in path:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
