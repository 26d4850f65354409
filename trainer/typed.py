"""Frozen dataclasses from the plain values of JSON, each checked against its type."""

import dataclasses
import difflib
import typing
from typing import Any, Literal

from trainer.cli import UserError


def build(cls: Any, raw: dict[str, Any], prefix: str = "") -> Any:
    """An instance of a dataclass, of dataclasses within it, too; what is not given is the default.

    Args:
      cls: the dataclass.
      raw: values by the names of its fields; lists for tuples, dictionaries for dataclasses.
      prefix: of the keys in messages.
    Raises:
      UserError: a key is unknown, or a value is of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(raw) - set(hints))
    if unknown:
        raise UserError(f"the configuration has unknown keys: {', '.join(prefix + key for key in unknown)}")
    return cls(**{name: _convert(hints[name], value, prefix + name) for name, value in raw.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, f"{key}.")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{key}={value}: it must be one of {', '.join(args)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{key}={value}: it must be a list, e.g. [32,64]")
        return tuple(_convert(args[0], item, key) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{key}={value}: it must be of type {hint.__name__}")
    return value


def nearest(key: str, raw: dict[str, Any]) -> str:
    """Which keys might have been meant, as part of a message."""
    known = list(leaves(raw))
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"the keys are {', '.join(known)}"


def leaves(raw: dict[str, Any], prefix: str = "") -> typing.Iterator[str]:
    """The names of all values, `outer.inner` of those within dictionaries."""
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
