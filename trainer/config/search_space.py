"""The settings that a search tries: the points of a grid, and reproducible random draws."""

import itertools
import json
import re
import zlib

import numpy as np

from trainer.cli import UserError

NAME_LENGTH = 150  # file systems allow 255; this leaves room for the paths of checkpoints in the folder


def grid(specs: list[str]) -> list[list[str]]:
    """Return all combinations of `key=value,value` specs, as `--set` settings; without specs, one empty combination.

    Raises:
      UserError: a spec is not of that form.
    """
    return [list(chosen) for chosen in itertools.product(*(_grid_values(spec) for spec in specs))]


def _grid_values(spec: str) -> list[str]:
    key, equals, text = spec.partition("=")
    if not equals or not text:
        raise UserError(f"--grid {spec}: write it as key=value,value, e.g. optimizer.learning_rate=1e-3,3e-3")
    try:
        values = [value if isinstance(value, str) else json.dumps(value) for value in json.loads(f"[{text}]")]
    except (ValueError, RecursionError):
        values = text.split(",")
    return [f"{key}={value}" for value in dict.fromkeys(values)]


def draw(specs: list[str], *, seed: int, trial: int) -> list[str]:
    """Return one random value for each spec, as a `--set` setting, determined only by key, seed and trial.

    Args:
      specs: `key=log:LOW:HIGH` (log-uniform), `key=uniform:LOW:HIGH`, `key=int:LOW:HIGH` (both included), or
        `key=choice:A:B:...`. Numbers are rounded to three digits.
      seed: of the search.
      trial: the number of the draw.
    Raises:
      UserError: a spec has none of these forms.
    """
    return [_draw(spec, seed, trial) for spec in specs]


def _draw(spec: str, seed: int, trial: int) -> str:
    key, _, text = spec.partition("=")
    kind, *values = text.split(":")
    rng = np.random.default_rng([seed, trial, zlib.crc32(key.encode())])
    try:
        if kind == "choice" and values:
            return f"{key}={values[rng.integers(len(values))]}"
        low, high = map(float, values)
        if low <= high and (kind != "log" or low > 0):
            if kind == "int":
                return f"{key}={rng.integers(int(low), int(high) + 1)}"
            if kind == "uniform":
                return f"{key}={rng.uniform(low, high):.3g}"
            if kind == "log":
                return f"{key}={np.exp(rng.uniform(np.log(low), np.log(high))):.3g}"
    except (ValueError, OverflowError):  # infinite, or too wide a range
        pass
    raise UserError(
        f"--random {spec}: write it as key=log:LOW:HIGH, key=uniform:LOW:HIGH, key=int:LOW:HIGH or key=choice:A:B, "
        "e.g. optimizer.weight_decay=log:1e-5:1e-2"
    )


def run_name(settings: list[str]) -> str:
    """Return a run's work folder: its settings in plain characters, e.g. `optimizer.learning_rate=0.001,seed=2`."""
    name = re.sub(r"[^\w.,=+-]+", "_", ",".join(settings)) or "as-it-is"
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 9]}-{zlib.crc32(name.encode()):08x}"
