"""Write the table of all ratios in docs/benchmarks.md from a file of `benchmarks.all`.

python -m benchmarks.page benchmarks/results/MACHINE/COMMIT.json

The table is the text between two comments of the page, the first of which names the file. Figures without a ratio and
without a target are only in the file.
"""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import compare
from benchmarks.machine import BUSY
from benchmarks.rows import Row, number
from trainer import cli, provenance

PAGE = provenance.ROOT / "docs" / "benchmarks.md"
MARKED = re.compile(r"(<!-- all ratios: )(\S+)( -->\n).*?(<!-- end -->)", re.DOTALL)
NOT_JUDGED = "A quick run is too short to judge whether targets are reached."
HEAD = "| benchmark | figure | median (range) | ratio | of | target | peak, GFLOP/s |\n|---|---|---|---|---|---|---|"


def table(results: dict[str, Any]) -> str:
    """Return the text between the comments, for the content of a file of `benchmarks.all`."""
    lines: list[str] = []
    missed: list[str] = []
    for name, done in results["benchmarks"].items():
        rows = [Row(**row) for row in done.get("rows", [])]
        rows = [replace(row, at_least=None, at_most=None) for row in rows] if results["quick"] else rows
        lines += [_line(name, row, rows, done) for row in rows if row.ratios or _target(row)]
        missed += [f"{row.name} ({_reached(row)}, {_target(row)})" for row in rows if row.missed]
        lines += [f"| {name} | {kind}: {done[kind]} | | | | | |" for kind in ("failed", "skipped") if kind in done]
    targets = f"Missed targets: {'; '.join(missed)}." if missed else "No target was missed."
    return "\n".join([_caption(results), "", HEAD, *lines, "", NOT_JUDGED if results["quick"] else targets]) + "\n"


def _caption(results: dict[str, Any]) -> str:
    machine, load = results["machine"], results["load"]
    notes = ["; **quick run, not final**"] * results["quick"] + ["; **busy machine, not final**"] * (load > BUSY)
    sets = ", ".join(machine["instruction_sets"]) or "no AVX2"
    return (
        f"`python -m benchmarks.all`, {results['date'][:10]}, {machine['processor']} ({sets}), "
        f"{machine['cores']} cores,\n"
        f"commit `{results['commit']}`, load average at the start {load}{''.join(notes)}. Ranges are those of\n"
        "the repeats. The peak was measured just before each benchmark: float32, and bfloat16 where the CPU has\n"
        "instructions for it. The file has the commands, and the figures without a ratio or a target."
    )


def _line(benchmark: str, row: Row, rows: list[Row], done: dict[str, Any]) -> str:
    value = f"{number(row.median)} {row.unit}"
    spread = f" ({number(min(row.values))}-{number(max(row.values))})" if len(row.values) > 1 else ""
    base = next((f"{other.name}, {number(other.median)}" for other in rows if other.name == row.ratio_to), row.ratio_to)
    ratio = f"{row.ratio:.2f}" if row.ratios else ""
    target = f"{_target(row)}{', **missed**' if row.missed else ''}"
    peaks = " / ".join(number(Row(**peak).median) for peak in done["peaks"])
    return f"| {benchmark} | {row.name} | {value}{spread} | {ratio} | {base} | {target} | {peaks} |"


def _reached(row: Row) -> str:
    return f"{row.ratio:.2f}" if row.ratios else f"{number(row.median)} {row.unit}"


def _target(row: Row) -> str:
    """Return the target of a row as text, empty if it has none."""
    bounds = (("at least", row.at_least), ("at most", row.at_most))
    return ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)


def written(page: str, source: str, results: dict[str, Any]) -> str:
    """Return the page with the table of some results, which `source` names."""
    if not MARKED.search(page):
        raise cli.UserError(f"{PAGE}: the comments <!-- all ratios: FILE --> and <!-- end --> are missing")
    return MARKED.sub(lambda found: f"{found[1]}{source}{found[3]}{table(results)}{found[4]}", page)


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.page results.json")
    parser.add_argument("results", type=Path, help="a file of benchmarks.all, in this repository")
    args: argparse.Namespace = parser.parse_args(argv)
    results = compare.load(args.results)
    source = args.results.resolve()
    if not source.is_relative_to(provenance.ROOT):
        raise cli.UserError(f"{source} is outside the repository: copy it to benchmarks/results")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(written(page, source.relative_to(provenance.ROOT).as_posix(), results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
