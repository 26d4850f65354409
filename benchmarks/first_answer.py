"""Measure what the first answer takes with this package and with others: `python -m benchmarks.first_answer --help`.

Each system runs its lines of `SYSTEMS` on one image, in an environment of its own that is given by its Python, in a new
process each time. The first run, which compiles bytecode and fills the page cache, is not counted; of the others, the
medians are shown. CPU seconds are the honest figure where other work runs beside it. Megabytes are those of the
environment's packages without pip and setuptools.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import rows
from benchmarks.rows import LOWER, NEITHER, Row

OURS = "svhn"
SYSTEMS = {
    OURS: """
from trainer import Reader
reader = Reader()
print([(number.text, number.confidence) for number in reader.read(IMAGE).numbers])
""",
    "rapidocr_1": """
from rapidocr_onnxruntime import RapidOCR
engine = RapidOCR()
print([(text, score) for _, text, score in engine(IMAGE)[0]])
""",
    "rapidocr_3": """
from rapidocr import RapidOCR
engine = RapidOCR()
print([(found["txt"], found["score"]) for found in engine(IMAGE).to_json()])
""",
    "easyocr": """
import easyocr, easyocr_en_models
reader = easyocr.Reader(["en"], gpu=False, model_storage_directory=easyocr_en_models.__path__[0] + "/models")
print([(text, score) for _, text, score in reader.readtext(IMAGE)])
""",
    "fast_plate_ocr": """
from fast_plate_ocr import LicensePlateRecognizer
recognizer = LicensePlateRecognizer("cct-xs-v2-global-model")
print(recognizer.run(IMAGE))
""",
}
SIZE = """
import pathlib, sysconfig
top = pathlib.Path(sysconfig.get_path("purelib"))
files = [path for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
files = [path for path in files if path.relative_to(top).parts[0].split("-")[0] not in ("pip", "setuptools")]
print(sum(path.stat().st_size for path in files) / 1e6)
"""


def main() -> None:
    args = _parser().parse_args()
    print(f"{'':<16}{'lines':>6}{'s':>8}{'CPU s':>8}{'MB':>8}  answer")
    found: list[Row] = []
    for system in args.systems:
        name, _, python = system.partition("=")
        lines = SYSTEMS[name].strip()
        size = float(_run(python, SIZE)[2])
        _run(python, lines, args.image)
        runs = [_run(python, lines, args.image) for _ in range(args.runs)]
        better = LOWER if name == OURS else NEITHER
        seconds = Row(f"{name}, s", "s", [run[0] for run in runs], better)
        cpu = Row(f"{name}, CPU s", "CPU s", [run[1] for run in runs], better)
        print(
            f"{name:<16}{len(lines.splitlines()):>6}{seconds.median:>8.1f}{cpu.median:>8.1f}{size:>8,.0f}  {runs[0][2]}"
        )
        # Others are relative to the system that was given first.
        found += [seconds.relative_to(found[0]), cpu.relative_to(found[1])] if found else [seconds, cpu]
    rows.write(args.json, found)


def _run(python: str, lines: str, image: str = "") -> tuple[float, float, str]:
    """Run lines in a new process, and return its seconds, its CPU seconds, and the last line that it printed."""
    before, begin = os.times(), time.monotonic()
    done = subprocess.run([python, "-c", f"IMAGE = {image!r}\n{lines}"], capture_output=True, text=True)
    seconds, after = time.monotonic() - begin, os.times()
    if done.returncode:
        sys.exit(f"{python}: {done.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu, done.stdout.splitlines()[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="+", metavar="NAME=PYTHON", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--image", required=True, help="the image to read", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--runs", type=int, default=3, help="runs that count, after one that does not")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    main()
