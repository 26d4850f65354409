"""Write files atomically, on local disks and in buckets, and read the JSON in them."""

import json
import os
import uuid
from collections.abc import Sequence
from typing import Any

from trainer.cli import UserError
from trainer.files import json_content, local_file, replaceable


def write(path: str, content: str | bytes) -> None:
    """Write a file under a temporary name in the same folder and rename it, so that readers see the old or the new one.

    Raises:
      OSError or tf.errors.OpError: it could not be written; the old file is untouched.
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
    """Write a value as indented JSON, atomically like `write`."""
    write(path, json.dumps(value, indent=2) + "\n")


def read(path: str, *, advice: str) -> bytes | None:
    """Return the content of a file, None if it does not exist.

    Args:
      path: the file.
      advice: what the user can do if it is not a file.
    Raises:
      UserError: it is a folder, a pipe or a device.
    """
    if "://" in path:
        return _read_remote(path)
    try:
        local_file.check_regular(path)
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except local_file.NotAFile as error:
        raise UserError(f"{path} cannot be read: {error}; {advice}") from error


def _read_remote(path: str) -> bytes | None:
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return bytes(file.read())
    except tf.errors.NotFoundError:
        return None


def read_json(path: str, *, advice: str, keys: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return the object in a JSON file, None if the file does not exist; see `json_content.parse`."""
    content = read(path, advice=advice)
    return None if content is None else json_content.parse(content, path, advice=advice, keys=keys)


def read_json_lines(path: str, *, advice: str, keys: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """Return the objects in a JSON Lines file, None if the file does not exist; see `json_content.parse`."""
    content = read(path, advice=advice)
    return None if content is None else json_content.parse_lines(content, path, advice=advice, keys=keys)


def append_line(path: str, line: str) -> None:
    """Append a line to a file, starting a new line even if a killed process left half a line."""
    import tensorflow as tf

    if "://" not in path:
        replaceable.prepare_to_append(path)
    torn = tf.io.gfile.exists(path) and _last_byte(path) not in (b"", b"\n")
    with tf.io.gfile.GFile(path, "ab") as file:
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")


def _last_byte(path: str) -> bytes:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(max(file.size() - 1, 0))
        return file.read(1)


def _sync(path: str) -> None:
    """Flush a local file to disk before it is renamed, or a power failure may leave an empty file under its name."""
    if "://" not in path:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
