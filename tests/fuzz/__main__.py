"""Fuzz the commands for a while: `python -m tests.fuzz --help`, or `make fuzz`."""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.conftest import build_world
from tests.forking import Commands
from tests.fuzz import files, kills
from tests.fuzz.world import Case

TARGETS = {target.__name__: target for target in (*files.TARGETS, *kills.TARGETS)}


def main() -> int:
    """Run the command line; return 1 if any case failed."""
    args = _parser().parse_args()
    chosen = args.only or list(TARGETS)
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    commands = [Commands(Path(tempfile.mkdtemp(dir=scratch))) for _ in range(2)]
    world = Path(args.world) if args.world else scratch / "world"
    build_world(commands[0], world)
    begin, failures, done = time.monotonic(), 0, Counter[str]()
    print(f"seed {args.seed}, {args.seconds:g} s, targets {', '.join(chosen)}", flush=True)
    try:
        for number in range(args.first, args.first + args.count):
            for name in chosen:
                if time.monotonic() - begin > args.seconds:
                    return _end(done, failures)
                place = scratch / f"{name}-{number}"
                place.mkdir()
                case = Case(random.Random(f"{name}/{args.seed}/{number}"), place, world, *commands)
                done[name] += 1
                try:
                    TARGETS[name](case)
                except pytest.skip.Exception as reason:
                    print(f"{name} {number} skipped: {reason}", flush=True)
                except Exception as error:
                    failures += 1
                    frame = traceback.extract_tb(error.__traceback__)[-1]
                    print(f"\n{name} {number} FAILED at {frame.name}:{frame.lineno}: {type(error).__name__}: {error}")
                    options = f"--seed {args.seed} --only {name} --first {number} --count 1"
                    print(f"again: {sys.executable} -m tests.fuzz {options}; kept: {place}", flush=True)
                    continue
                shutil.rmtree(place, ignore_errors=True)
        return _end(done, failures)
    finally:
        if not failures:
            shutil.rmtree(scratch, ignore_errors=True)


def _end(done: Counter[str], failures: int) -> int:
    cases = ", ".join(f"{name} {count}" for name, count in done.items())
    print(f"{done.total()} cases ({cases}): {failures} failed")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="begin no further case after so long")
    parser.add_argument("--count", type=int, default=1_000_000, help="rounds over all targets at most")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of all randomness")
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=[], help="these targets")
    parser.add_argument("--world", help="a folder in which what is attacked is kept between runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
