"""Find and read the numbers of whole photos, beside RapidOCR and Tesseract: `python -m benchmarks.wild --help`.

The photos are a folder with `images/` and `labels.csv` (file,label[,left,top,width,height][,flags]); those without a
number are another folder. Each system gets the same files, in one run, in turns: RapidOCR 1.x (the package
rapidocr-onnxruntime) and 3.x (rapidocr) in environments of their own, given by their Pythons; their wheels carry the
models. Their answer is the digits of all texts that they find, in the order found, or those of the largest text with a
digit, whichever of the two is right more often. Ours is right by its best guess; `listed, right` counts the photos in
which it lists a number, and those of them whose first number is right. A photo without a number is answered if any
digit is read (the others), or if the text is not empty and its confidence reaches the threshold for 98 % accuracy
(ours).
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import rows, wild_peers
from benchmarks.rows import HIGHER, NEITHER, Row
from trainer.inference.measuring.metrics import wilson_interval

OURS, RAPIDOCR = "ours", ("rapidocr_1", "rapidocr_3")
PEERS = (*RAPIDOCR, "tesseract")
PERCENT_CORRECT, TIMES_RAPIDOCR = 92.0, 10.0  # the targets


def main() -> None:
    args = _parser().parse_args()
    labels = list(csv.DictReader((args.photos / "labels.csv").open()))
    paths = [str(args.photos / "images" / row["file"]) for row in labels]
    empty = sorted(str(path) for path in args.empty.iterdir()) if args.empty else []
    results = {f"{OURS}, {model}": _ours(model, paths, empty) for model in args.models}
    if args.batches:
        results[f"{OURS}, {args.batches}, batches"] = _in_batches(args.batches, paths)
    for name in PEERS:
        if python := getattr(args, name):
            results[name] = _peer(name, python, paths, empty)
    print(f"{len(labels)} photos with a number, {len(empty)} without")
    print(f"{'':<28}{'right':>8}{'95 % interval':>18}{'listed, right':>14}{'empty answered':>16}{'photos/s':>10}")
    for name, result in results.items():
        print(_line(name, result, labels))
    rows.write(args.json, as_rows(results, labels))
    if args.output:
        args.output.write_text(json.dumps(results, indent=1) + "\n")


def _ours(model: str, paths: list[str], empty: list[str]) -> dict[str, Any]:
    """Read each photo as `predict` does; the first photo, which builds the graph, is read twice."""
    from trainer import Reader

    reader = Reader(model, candidates=1)
    finds = "finder" in reader.model.info

    def read(path: str) -> dict[str, Any]:
        found = reader.read(path).to_dict()
        return {
            "texts": [found["text"]],
            "confidence": found["confidence"],
            "numbers": found["numbers"] if finds else None,
        }

    read(paths[0])
    begin = time.monotonic()
    answers = [read(path) for path in paths]
    seconds = time.monotonic() - begin
    threshold = _threshold(reader.model.info)
    found = [read(path) for path in empty]
    answered = sum(one["confidence"] >= threshold and one["texts"] != [""] for one in found)
    return {"answers": answers, "seconds": seconds, "empty_answered": answered, "empty": len(empty)}


def _in_batches(model: str, paths: list[str]) -> dict[str, Any]:
    """Read the photos in batches, with TensorFlow in the faster precision, as `score` does; time the second pass."""
    from trainer import Reader

    reader = Reader(model, candidates=1, engine="tensorflow", precision="auto")
    list(reader.read_all(paths))
    begin = time.monotonic()
    answers = [{"texts": [reading.text]} for reading in reader.read_all(paths)]
    return {"answers": answers, "seconds": time.monotonic() - begin, "empty": 0}


def _threshold(info: dict[str, Any]) -> float:
    """Return the confidence from which 98 % of the answers were right in calibration, 0.9 if that is not stored."""
    rows = (info["calibration"] or {}).get("thresholds", [])
    return next((r["confidence"] for r in rows if r["accuracy"] == 0.98 and r["confidence"] is not None), 0.9)


def _peer(name: str, python: str, paths: list[str], empty: list[str]) -> dict[str, Any]:
    command = [python, wild_peers.__file__, name]
    done = subprocess.run(command, input=json.dumps([paths, empty]), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def as_rows(results: Mapping[str, dict[str, Any]], labels: list[dict[str, str]]) -> list[Row]:
    """Return the proportion that each system reads correctly and its speed; that of ours beside each of the others."""
    speeds = {name: len(labels) / result["seconds"] for name, result in results.items()}
    found = []
    for name, result in results.items():
        ours = name.startswith(OURS)
        right, better = 100 * _right(result, labels) / len(labels), HIGHER if ours else NEITHER
        found.append(Row(f"{name}, correct", "%", [right], better, at_least=PERCENT_CORRECT if ours else None))
        found.append(Row(f"{name}, speed", "photos/s", [speeds[name]], better))
    for name in results:
        for other in results:
            if name.startswith(OURS) and other in PEERS:
                ratio = speeds[name] / speeds[other]
                row = Row(f"{name}, beside {other}", "photos/s", [speeds[name]], HIGHER, f"{other}, speed", [ratio])
                found.append(replace(row, at_least=TIMES_RAPIDOCR if other in RAPIDOCR else None))
    return found


def _right(result: dict[str, Any], labels: list[dict[str, str]]) -> int:
    """Return how many answers are right; of several ways to choose among the texts, by the one that is right most."""
    pairs = list(zip(result["answers"], labels, strict=True))
    ways = range(max(len(answer["texts"]) for answer, _ in pairs))
    return max(sum(answer["texts"][way] == row["label"] for answer, row in pairs) for way in ways)


def _line(name: str, result: dict[str, Any], labels: list[dict[str, str]]) -> str:
    """Return the line of a system."""
    pairs, right = zip(result["answers"], labels, strict=True), _right(result, labels)
    low, high = wilson_interval(right, len(labels))
    listed = [(answer["numbers"], row) for answer, row in pairs if answer.get("numbers")]
    shown = f"{sum(n[0]['text'] == row['label'] for n, row in listed)} of {len(listed)}" if listed else "-"
    empty = f"{result['empty_answered']} of {result['empty']}" if result["empty"] else "-"
    interval, speed = f"{low:.1%} to {high:.1%}", len(labels) / result["seconds"]
    return f"{name:<28}{right / len(labels):>8.1%}{interval:>18}{shown:>14}{empty:>16}{speed:>10.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder with images/ and labels.csv")
    parser.add_argument("--empty", type=Path, help="folder of photos without a number")
    parser.add_argument("--models", nargs="+", default=["released"], metavar="EXPORT", help="ours")
    parser.add_argument("--batches", metavar="EXPORT", help="ours, read in batches with TensorFlow")
    parser.add_argument("--rapidocr-1", metavar="PYTHON", help="a Python with rapidocr-onnxruntime")
    parser.add_argument("--rapidocr-3", metavar="PYTHON", help="a Python with rapidocr and onnxruntime")
    parser.add_argument("--tesseract", metavar="PYTHON", help="a Python with pytesseract, and tesseract in the path")
    parser.add_argument("--output", type=Path, metavar="JSON", help="every answer")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    main()
