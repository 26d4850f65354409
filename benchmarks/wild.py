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
from pathlib import Path
from typing import Any

from benchmarks import wild_peers
from trainer.inference.measuring.metrics import wilson_interval


def main() -> None:
    args = _parser().parse_args()
    rows = list(csv.DictReader((args.photos / "labels.csv").open()))
    paths = [str(args.photos / "images" / row["file"]) for row in rows]
    empty = sorted(str(path) for path in args.empty.iterdir()) if args.empty else []
    results = {f"ours, {model}": _ours(model, paths, empty) for model in args.models}
    if args.batches:
        results[f"{args.batches}, batches"] = _in_batches(args.batches, paths)
    peers = {"rapidocr_1": args.rapidocr_1, "rapidocr_3": args.rapidocr_3, "tesseract": args.tesseract}
    for name, python in peers.items():
        if python:
            results[name] = _peer(name, python, paths, empty)
    print(f"{len(rows)} photos with a number, {len(empty)} without")
    print(f"{'':<28}{'right':>8}{'95 % interval':>18}{'listed, right':>14}{'empty answered':>16}{'photos/s':>10}")
    for name, result in results.items():
        print(_line(name, result, rows))
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


def _line(name: str, result: dict[str, Any], rows: list[dict[str, str]]) -> str:
    """Return the line of a system; of several ways to choose among its texts, the one that is right most often."""
    pairs = list(zip(result["answers"], rows, strict=True))
    ways = range(max(len(answer["texts"]) for answer, _ in pairs))
    right = max(sum(answer["texts"][way] == row["label"] for answer, row in pairs) for way in ways)
    low, high = wilson_interval(right, len(rows))
    listed = [(answer["numbers"], row) for answer, row in pairs if answer.get("numbers")]
    shown = f"{sum(n[0]['text'] == row['label'] for n, row in listed)} of {len(listed)}" if listed else "-"
    empty = f"{result['empty_answered']} of {result['empty']}" if result["empty"] else "-"
    interval, speed = f"{low:.1%} to {high:.1%}", len(rows) / result["seconds"]
    return f"{name:<28}{right / len(rows):>8.1%}{interval:>18}{shown:>14}{empty:>16}{speed:>10.1f}"


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
    return parser


if __name__ == "__main__":
    main()
