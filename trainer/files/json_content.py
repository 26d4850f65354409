"""Parse JSON that may be damaged, with errors that name the file."""

import json
from collections.abc import Sequence
from typing import Any

from trainer.cli import UserError


def parse(content: str | bytes, path: str, *, advice: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return the object in a JSON file.

    Args:
      content: the content of the file.
      path: its name, for errors.
      advice: what the user can do about a damaged file.
      keys: what the object must contain.
    Raises:
      UserError: the file is damaged, e.g. empty after a power failure.
    """
    if not content.strip():
        raise UserError(f"{path} is empty: {advice}")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): {advice}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (not a JSON object): {advice}")
    if missing := [key for key in keys if key not in value]:
        raise UserError(f"{path} is damaged ({missing[0]} is missing): {advice}")
    return value


def parse_lines(content: bytes, path: str, *, advice: str, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the objects in a file with one JSON object per line; see `parse`."""
    return [parse(line, path, advice=advice, keys=keys) for line in content.split(b"\n")[:-1]] if content else []
