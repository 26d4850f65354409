"""Name the figures that became worse from one file of `benchmarks.all` to another.

python -m benchmarks.compare before.json after.json

Figures are compared if both files have them, measured by the same command. A difference is outside the noise if both
are true:

- the ranges of the repeats, minimum to maximum, do not overlap;
- the medians differ by more than 5 %, or by more than 20 % if either file has fewer than three repeats, whose range
  says little.

It is a regression if the second file is worse. A benchmark of the first file that fails in the second is a regression,
too. The figures of other systems are shown, but never count as regressions. The exit status is 1 if there are any.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import BUSY
from benchmarks.rows import HIGHER, NEITHER, Row, number
from trainer import cli
from trainer.exit_status import BAD_RESULT_STATUS
from trainer.files import whole_file

ENOUGH_REPEATS = 3
TOLERANCE, FEW_REPEATS_TOLERANCE = 0.05, 0.20


@dataclass(frozen=True)
class Change:
    """A figure in both files: its repeats before and after, and whether higher or lower ones are better."""

    name: str
    unit: str
    before: list[float]
    after: list[float]
    better: str

    @property
    def ratio(self) -> float:
        """The median after, divided by the median before."""
        before, after = statistics.median(self.before), statistics.median(self.after)
        return after / before if before else (1.0 if after == before else float("inf"))

    @property
    def outside_noise(self) -> bool:
        overlap = min(self.before) <= max(self.after) and min(self.after) <= max(self.before)
        few = min(len(self.before), len(self.after)) < ENOUGH_REPEATS
        tolerance = FEW_REPEATS_TOLERANCE if few else TOLERANCE
        lower, upper = sorted((statistics.median(self.before), statistics.median(self.after)))
        return not overlap and upper > lower * (1 + tolerance)

    @property
    def regression(self) -> bool:
        worse = self.ratio < 1 if self.better == HIGHER else self.ratio > 1
        return self.outside_noise and worse and self.better != NEITHER


def changes(before: dict[str, Any], after: dict[str, Any], *, any_machine: bool) -> Iterator[Change]:
    """Yield the figures that both files have; of different machines, only those that are ratios.

    Raises:
      UserError: the machines differ, and `any_machine` is false.
    """
    machines = [results["machine"]["name"] for results in (before, after)]
    if machines[0] != machines[1] and not any_machine:
        raise cli.UserError(f"measured on {machines[0]} and on {machines[1]}: give --any-machine to compare ratios")
    for benchmark, first, second in _in_both(before, after):
        if first["command"] != second["command"]:
            continue
        rows = {row["name"]: Row(**row) for row in second["rows"]}
        for row in (Row(**row) for row in first["rows"]):
            name, other = f"{benchmark}: {row.name}", rows.get(row.name)
            if other and not any_machine:
                yield Change(name, row.unit, row.values, other.values, row.better)
            elif other and row.ratios and other.ratios and row.ratio_to == other.ratio_to:
                yield Change(name, f"of {row.ratio_to}", row.ratios, other.ratios, row.better)


def left_out(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a line for each benchmark of either file that is not compared."""
    compared = {name for name, first, second in _in_both(before, after) if first["command"] == second["command"]}
    names = dict.fromkeys([*before["benchmarks"], *after["benchmarks"]])
    return [f"{name}: not compared, not measured by the same command in both" for name in names if name not in compared]


def failed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a line for each benchmark of the first file that failed in the second."""
    return [
        f"{name}: {done['failed']}"
        for name, done in after["benchmarks"].items()
        if "failed" in done and "rows" in before["benchmarks"].get(name, {})
    ]


def _in_both(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name, first in before["benchmarks"].items():
        second = after["benchmarks"].get(name, {})
        if "rows" in first and "rows" in second:
            yield name, first, second


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    before, after = (load(path) for path in (args.before, args.after))
    for path, results in ((args.before, before), (args.after, after)):
        if results["load"] > BUSY:
            print(f"{path}: measured on a busy machine, load average {results['load']}: repeat it before you trust it")
    found = list(changes(before, after, any_machine=args.any_machine))
    for change in found:
        medians = " to ".join(number(statistics.median(values)) for values in (change.before, change.after))
        kind = "REGRESSION" if change.regression else "changed" if change.outside_noise else "within noise"
        print(f"{change.name}: {medians} {change.unit}, {change.ratio:.2f} times, {kind}")
    print("\n".join(left_out(before, after)))
    if worse := [*(change.name for change in found if change.regression), *failed(before, after)]:
        raise cli.UserError(f"{len(worse)} regressions: {'; '.join(worse)}", BAD_RESULT_STATUS)


def load(path: Path) -> dict[str, Any]:
    """Return the content of a file of `benchmarks.all`.

    Raises:
      UserError: it is not such a file.
    """
    advice = "give a file of benchmarks.all"
    results = whole_file.read_json(str(path), advice=advice, keys=("machine", "commit", "quick", "load", "benchmarks"))
    if results is None:
        raise cli.UserError(f"{path} does not exist: {advice}")
    return results


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.compare before.json after.json")
    parser.add_argument("before", type=Path, help="a file of benchmarks.all")
    parser.add_argument("after", type=Path, help="the file in which regressions are looked for")
    parser.add_argument("--any-machine", action="store_true", help="compare ratios only, also of different machines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
