"""Build frozen dataclasses from JSON values, and read numbers from the command line, checked against their types.

The type of a field says which values are allowed: `Annotated[int, Range(1, 100)]` is a number within bounds,
`Annotated[tuple[Size, ...], Items(1)]` a list with a minimum length.
"""

import argparse
import ctypes
import dataclasses
import difflib
import functools
import math
import typing
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from trainer.cli import UserError

SHOWN = 100  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """The bounds of a number, both included unless `above` or `below` is set; without `high` it need only be finite.

    A float is compared as the float32 that TensorFlow computes with, in which 0.99999999 is 1.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"at least {self.low:,g}"
        if self.high == math.inf:
            return f"{low} and finite"
        high = f"{self.high:,}" if isinstance(self.high, int) else f"{self.high:,g}"
        return f"{low} and {'below' if self.below else 'at most'} {high}"

    def check(self, value: float, key: str) -> None:
        number = ctypes.c_float(value).value if isinstance(value, float) else value
        low = number > self.low if self.above else number >= self.low
        high = number < self.high if self.below else number <= self.high
        if not (low and high and math.isfinite(number)):
            raise UserError(f"{key}={shown(value)}: it must be {self}")


@dataclass(frozen=True)
class Items:
    """The bounds of a list's length."""

    low: int
    high: int = 64

    def check(self, value: tuple[Any, ...], key: str) -> None:
        if not self.low <= len(value) <= self.high:
            raise UserError(f"{key}={shown(list(value))}: it must be a list of {self.low} to {self.high} values")


def build(cls: Any, raw: Any, prefix: str = "") -> Any:
    """Return an instance of a dataclass, including nested dataclasses; missing values get their defaults.

    Args:
      cls: the dataclass.
      raw: values by the names of its fields; lists for tuples, dictionaries for dataclasses.
      prefix: of the keys in messages.
    Raises:
      UserError: a key is unknown or missing, or a value is of the wrong type or out of bounds.
    """
    if not isinstance(raw, dict):
        raise UserError(f"{prefix.rstrip('.') or 'the config'}: {shown(raw)} is not a group of settings")
    hints = _hints(cls)
    unknown = sorted(set(raw) - set(hints))
    if unknown:
        raise UserError(f"the config has unknown keys: {shown(', '.join(prefix + key for key in unknown))}")
    missing = [f.name for f in dataclasses.fields(cls) if f.name not in raw and _is_required(f)]
    if missing:
        raise UserError(f"the config is missing {', '.join(prefix + key for key in missing)}")
    return cls(**{name: _convert(hints[name], value, prefix + name) for name, value in raw.items()})


def check(instance: Any, prefix: str) -> None:
    """Check the values of a dataclass, but not of nested ones, against the bounds in their types.

    Raises:
      UserError: a value is out of bounds; the message names the key with the prefix.
    """
    cls: Any = type(instance)
    for name, hint in _hints(cls).items():
        _check(hint, getattr(instance, name), prefix + name)


def argument(kind: type[int] | type[float], limits: Range) -> Callable[[str], Any]:
    """Return a function that reads a number within bounds from the command line, for argparse's `type=`."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
            limits.check(value, "it")
        except ValueError as error:  # UserError is one, too
            number = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{shown(text)}: give {number}, {limits}") from error
        return value

    return read


def integer(low: int, high: int) -> Callable[[str], Any]:
    """Return an `argparse` type for whole numbers from `low` to `high`."""
    return argument(int, Range(low, high))


def shown(value: Any) -> str:
    """Format a value for a message: on one line, and short."""
    text = repr(value)[1:-1] if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its bounds, and the bounds."""
    if typing.get_origin(hint) is Annotated:
        plain, *limits = typing.get_args(hint)
        return plain, tuple(limits)
    return hint, ()


def _check(hint: Any, value: Any, key: str) -> None:
    plain, limits = _parts(hint)
    for limit in limits:
        limit.check(value, key)
    if typing.get_origin(plain) is tuple:
        for item in value:
            _check(typing.get_args(plain)[0], item, key)


def _convert(hint: Any, value: Any, key: str) -> Any:
    hint, _ = _parts(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, f"{key}.")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise UserError(f"{key}={shown(value)}: it must be one of {', '.join(args)}")
        return value
    if origin is tuple:
        return _convert_list(args, value, key)
    if hint is float and type(value) is int:
        return float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not hint:
        raise UserError(f"{key}={shown(value)}: it must be of type {hint.__name__}")
    if hint is str and any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise UserError(f"{key}={shown(value)}: it has control characters or invalid Unicode")
    return value


def _convert_list(args: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise UserError(f"{key}={shown(value)}: it must be a list, e.g. [32,64]")
    if args[-1] is not Ellipsis and len(value) != len(args):
        raise UserError(f"{key}={shown(value)}: it must be a list of {len(args)} values")
    return tuple(_convert(args[0], item, key) for item in value)


def nearest(key: str, raw: dict[str, Any]) -> str:
    """Return a part of a message that suggests which keys were meant."""
    known = list(leaves(raw))
    close = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"the keys are {', '.join(known)}"


def leaves(raw: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of all values, as `outer.inner` for those in nested dictionaries."""
    for name, value in raw.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
