"""Run the benchmarks of the common table, and keep their figures as JSON, by type of machine and commit.

python -m benchmarks.all

Each benchmark runs in a process of its own, after the peak of the machine was measured: at most an hour in all, without
other systems. The file is written after each of them, so that a run can be interrupted: the next one with the same
output continues it, and runs again what failed or was skipped. `benchmarks.page` makes the table in the documentation
from the file, and `benchmarks.compare` names what became slower from one file to another.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import compare, machine, rows
from trainer import cli, provenance
from trainer.cluster import environment
from trainer.exit_status import BAD_RESULT_STATUS

RESULTS = provenance.ROOT / "benchmarks" / "results"
MOST_SECONDS = 1500  # of one benchmark

# What each benchmark is run with, in full and with --quick. Capitals stand for what differs between machines.
ONE_VIEW = "--set decode.views=[1.0] decode.closer=false"
PLAN = {
    "training": ("--repeats 15", "--repeats 3 --models compact"),
    "scoring": (
        f"IMAGES --count 20000 --few 400 --repeats 3 --memory 1000 10000 {ONE_VIEW}",
        f"IMAGES --count 2000 --few 64 --repeats 1 --memory 64 {ONE_VIEW}",
    ),
    "pipelines": (
        "--images PHOTOS --count 50000 --repeats 3 --few 10000 --many 500000",
        "--images PHOTOS --count 1000 --repeats 1 --few 500 --many 2000",
    ),
    "beam": ("IMAGES --count 256 --few 64 --rounds 5", "IMAGES --count 64 --few 16 --rounds 2"),
    "listing": ("--counts 1000 100000 1000000 --repeats 3", "--counts 1000 10000 --repeats 1"),
    "first_answer": ("--image DRAWN/scenes/images/5-000002.png --runs 5 svhn=OURS",) * 2,
    "memory": (
        "--kinds 'portrait JPEG' PNG WebP --count 24 --others 8 --distinct 2",
        "--kinds 'portrait JPEG' --count 2",
    ),
    "cost": (
        "--images SHARED/scenes/wild_dev/images --models released-fast released released-photos "
        "--count 400 --repeats 3",
        "--images SHARED/scenes/wild_dev/images --models released-fast --count 100",
    ),
    "strategies": ("--experiment compact --steps 60", "--experiment smoke --steps 40"),
    "wild": ("--photos SHARED/scenes/wild_dev --models released-photos --batches released-photos",) * 2,
}
PEERS = {  # what each benchmark is given in addition for the environment of another system
    "rapidocr_1": {
        "scoring": "--peer-python RAPIDOCR_1",
        "first_answer": "rapidocr_1=RAPIDOCR_1",
        "wild": "--rapidocr-1 RAPIDOCR_1",
    },
    "rapidocr_3": {"first_answer": "rapidocr_3=RAPIDOCR_3", "wild": "--rapidocr-3 RAPIDOCR_3"},
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    environment.configure()  # the peak is measured in this process
    results = begin(args.output, args.quick)
    path = args.output or _default_output(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    if results["load"] > machine.BUSY:
        print(f"\nWARNING: THIS MACHINE IS BUSY, load average {results['load']}: do not publish these figures\n")
    peers = {name: str(python.absolute()) for name in PEERS if (python := getattr(args, name))}
    with tempfile.TemporaryDirectory() as scratch:
        places = {"SHARED": str(args.shared.absolute()), "DRAWN": f"{scratch}/drawn", "OURS": sys.executable}
        places |= {name.upper(): python for name, python in peers.items()}
        for name, command in commands(args.shared, peers, args.quick).items():
            if name not in args.only or "rows" in results["benchmarks"].get(name, {}):
                continue
            print(f"\n{name}: python -m benchmarks.{name} {command}", flush=True)
            results["benchmarks"][name] = measure(name, command, places, Path(scratch))
            save(path, results)
    print(f"\n{path}")
    if failed := [name for name, done in results["benchmarks"].items() if "failed" in done]:
        raise cli.UserError(f"{', '.join(failed)} failed: run the same command to try again", BAD_RESULT_STATUS)


def begin(path: Path | None, quick: bool) -> dict[str, Any]:
    """Return the results that an earlier run left in a file, or those of a new run, still without benchmarks.

    Raises:
      UserError: the file is of another machine, another commit or another length.
    """
    found, here = provenance.gather(), machine.describe()
    results = {"machine": here, "commit": found["commit"], "quick": quick, "versions": found["versions"]}
    path = path or _default_output(results)
    if not path.exists():
        return {**results, "date": found["date"], "load": round(os.getloadavg()[0], 2), "benchmarks": {}}
    earlier = compare.load(path)
    for what, now, then in (
        ("machine", here["name"], earlier["machine"]["name"]),
        *((key, results[key], earlier[key]) for key in ("commit", "quick")),
    ):
        if now != then:
            raise cli.UserError(f"{path}: its {what} is {then}, now it is {now}; give another --output")
    return earlier


def _default_output(results: Mapping[str, Any]) -> Path:
    quick = "-quick" if results["quick"] else ""
    return RESULTS / results["machine"]["name"] / f"{results['commit'] or 'unknown'}{quick}.json"


def commands(shared: Path, peers: Mapping[str, str], quick: bool) -> dict[str, str]:
    """Return the arguments of each benchmark; capitals in them stand for the places of this machine."""
    real = (shared / "photos" / "labels.csv").exists()
    images = {
        "IMAGES": "--images SHARED/photos --split validation" if real else "--images DRAWN/numbers",
        "PHOTOS": "SHARED/photos" if real else "DRAWN/numbers",
    }
    made = {}
    for name, (full, short) in PLAN.items():
        further = [PEERS[peer][name] for peer in peers if name in PEERS[peer]]
        made[name] = _replaced(" ".join([short if quick else full, *further]), images)
    return made


def measure(name: str, command: str, places: Mapping[str, str], scratch: Path) -> dict[str, Any]:
    """Run a benchmark; return its command, date and the machine's peak before it, and its rows or why it has none."""
    words = [_replaced(word, places) for word in shlex.split(command)]
    date, begin = provenance.gather()["date"], time.monotonic()
    done: dict[str, Any] = {"command": f"python -m benchmarks.{name} {command}", "date": date}
    shared = [word for word in words if word.startswith(places["SHARED"])]
    if missing := [word for word in shared if not Path(word).exists()]:
        return done | {"skipped": f"SHARED{missing[0].removeprefix(places['SHARED'])} does not exist"}
    if "DRAWN" in command:
        draw(Path(places["DRAWN"]))
    peaks = [asdict(row) for row in machine.peaks(repeats=15)]
    output, errors = scratch / f"{name}.json", scratch / f"{name}.err"
    arguments = [sys.executable, "-m", f"benchmarks.{name}", *words, "--json", str(output)]
    status = _status(arguments, errors)
    done |= {"seconds": round(time.monotonic() - begin), "peaks": peaks}
    if status or not output.exists():
        text = errors.read_text(errors="replace").strip()
        print(text)
        reason = f"exit status {status}: {text.splitlines()[-1] if text else 'no message'}"
        return done | {"failed": _replaced(reason, {place: word for word, place in places.items()})}
    return done | {"rows": [asdict(row) for row in rows.read(output)]}


def draw(folder: Path) -> None:
    """Draw the images of benchmarks without real ones, unless they are there."""
    from beam_pipelines import draw

    if not folder.exists():
        draw.main(["--quiet", "--count", "500", "--output", str(folder / "numbers")])
        draw.main(["--quiet", "--count", "3", "--scene-size", "640", "--seed", "5", "--output", str(folder / "scenes")])


def _status(arguments: list[str], errors: Path) -> int | str:
    """Run a command in a session of its own, end all of it in any case, and return its exit status."""
    with errors.open("w") as stderr:
        process = subprocess.Popen(arguments, cwd=provenance.ROOT, stderr=stderr, start_new_session=True)
        try:
            return process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            return f"none within {MOST_SECONDS} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for old, new in values.items():
        text = text.replace(old, new)
    return text


def save(path: Path, results: Mapping[str, Any]) -> None:
    """Write the results; an interruption leaves the earlier file as it was."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1) + "\n")
    temporary.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.all --quick --only training beam")
    parser.add_argument(
        "--only", nargs="+", choices=PLAN, default=list(PLAN), metavar="NAME", help=f"of {', '.join(PLAN)}"
    )
    parser.add_argument("--quick", action="store_true", help="short runs of a few minutes in all, to see that all work")
    parser.add_argument("--output", type=Path, metavar="JSON", help="by default benchmarks/results/MACHINE/COMMIT.json")
    parser.add_argument(
        "--shared", type=Path, default=Path("../shared/data"), help="real images; without them, images are drawn"
    )
    parser.add_argument("--rapidocr-1", type=Path, metavar="PYTHON", help="also measure rapidocr-onnxruntime there")
    parser.add_argument("--rapidocr-3", type=Path, metavar="PYTHON", help="also measure rapidocr, with onnxruntime")
    return parser


if __name__ == "__main__":
    sys.exit(main())
