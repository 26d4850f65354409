"""Rows, the form of the figures that the benchmarks of the common table write as JSON: see `benchmarks.all`."""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
      name: what was measured; no other row of the benchmark has it.
      unit: of the values.
      values: one of each repeat.
      better: whether `higher` or `lower` values are better; `neither` for those of other systems, which are compared
        with ours but are not ours to improve.
      ratio_to: the row that the ratios are relative to, empty if there are none.
      ratios: one of each repeat.
      at_least, at_most: the target for the median ratio, or for the median value without ratios.
    """

    name: str
    unit: str
    values: list[float]
    better: str
    ratio_to: str = ""
    ratios: list[float] = field(default_factory=list)
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def missed(self) -> bool:
        """Whether there is a target, and it was not reached."""
        reached = self.ratio if self.ratios else self.median
        below = self.at_least is not None and reached < self.at_least
        return below or (self.at_most is not None and reached > self.at_most)

    def relative_to(self, other: "Row", *, at_least: float | None = None, at_most: float | None = None) -> "Row":
        """Return the row with each value divided by the median of another row, and the target for that ratio."""
        ratios = [value / other.median for value in self.values]
        return replace(self, ratio_to=other.name, ratios=ratios, at_least=at_least, at_most=at_most)


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, the file that `write` takes."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


def write(path: Path | None, rows: Sequence[Row]) -> None:
    """Write rows as JSON, if there is a path."""
    if path:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def read(path: Path) -> list[Row]:
    """Return the rows that `write` wrote."""
    return [Row(**row) for row in json.loads(path.read_text())]


def line(row: Row) -> str:
    """Return a row as text: median, minimum and maximum, and what the ratio is to."""
    spread = f" ({number(min(row.values))} to {number(max(row.values))})" if len(row.values) > 1 else ""
    ratio = f", {row.ratio:.2f} of {row.ratio_to}" if row.ratios else ""
    return f"{row.name}: {number(row.median)} {row.unit}{spread}{ratio}"


def number(value: float) -> str:
    """Return a number with three digits, or all of a whole number above 1,000."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
