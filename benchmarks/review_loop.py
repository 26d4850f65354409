"""Score, review in a browser, fine-tune, score again: `python -m benchmarks.review_loop --output out/loop`.

The bucket is 300 scenes of which half have a style that the released model reads badly (`review_scenes`). A browser
answers the queue of `svhn review` by keys, from the known truth, and the server is killed in between. The answers are
exported, the model is fine-tuned on them, and both models read the scenes that were not reviewed, and as many others
that are in no bucket. A step whose output exists is not repeated.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shapely.geometry import Polygon

from benchmarks import review_scenes
from benchmarks.review_scenes import Truth
from tests.chromium import Page, browser
from trainer.inference.measuring.metrics import wilson_interval

OVERLAP = 0.4  # intersection over union from which a box is around the number
Rows = dict[str, dict[str, Any]]


def main() -> None:
    args = _parser().parse_args()
    out = args.output
    bucket = review_scenes.write(out / "bucket", args.scenes, 21)
    others = review_scenes.write(out / "others", args.scenes, 22)
    before = {name: _score("released-photos", out, name, "before") for name in ("bucket", "others")}
    predictions = out / "before-bucket"
    if not (out / "reviewed").exists():
        began = time.monotonic()
        answered = _review(predictions, before["bucket"], bucket, args)
        print(f"{answered} rows answered in the browser in {time.monotonic() - began:.0f} s, the server killed once")
    _svhn("review", predictions, *_options(args), "--export", out / "reviewed", "--promise")
    if not (out / "mine" / "photos").exists():
        _svhn("finetune", out / "reviewed", "--workdir", out / "mine")
    mine = str(out / "mine" / "photos")
    after = {name: _score(mine, out, name, "after") for name in ("bucket", "others")}
    resumed = _score(mine, out, "bucket", "resumed", "--resume-from", predictions, "--only-below", "0.9")
    reviewed = _reviewed(predictions)
    print(f"{'':<44}{'before':>26}{'after':>26}{'after, from 0.9 as before':>26}")
    for kind, shifted in (("planted style", True), ("ordinary", False)):
        for name, truths in (("bucket", bucket), ("others", others)):
            names = [n for n, truth in truths.items() if truth.shifted == shifted and n not in reviewed]
            what = "of the bucket, not reviewed" if name == "bucket" else "of no bucket"
            kept = {n: row if row["confidence"] >= 0.9 else after[name][n] for n, row in before[name].items()}
            cells = [_share(rows, truths, names) for rows in (before[name], after[name], kept)]
            print(f"{f'{kind}, {what}':<44}" + "".join(f"{cell:>26}" for cell in cells))
            assert name == "others" or all(kept[n]["text"] == resumed[n]["text"] for n in kept)
    for when, rows in (("before", before["bucket"]), ("after", after["bucket"]), ("resumed", resumed)):
        accepted = [n for n, row in rows.items() if row["confidence"] >= 0.9]
        print(f"{when}: right of the rows with a confidence of at least 0.9: {_share(rows, bucket, accepted)}")


def _svhn(*words: object) -> None:
    began = time.monotonic()
    print(f"\n$ svhn {' '.join(map(str, words))}", flush=True)
    subprocess.run([sys.executable, "-m", "trainer.svhn", *map(str, words)], check=True)
    print(f"# {time.monotonic() - began:.0f} s", flush=True)


def _score(model: str, out: Path, name: str, when: str, *further: object) -> Rows:
    """Return the rows of a set of scenes by file name, scored unless they have been."""
    output = out / f"{when}-{name}"
    if not output.exists():
        fixed = ["--min-confidence", "0.9", "--output", output]
        _svhn("score", "--model", model, "--input", out / name / "images", *fixed, *further)
    lines = "".join(path.read_text() for path in sorted(output.glob("predictions-*"))).splitlines()
    return {Path(row["key"]).name: row for row in map(json.loads, lines)}


def _options(args: argparse.Namespace) -> list[str]:
    return ["--rows", str(args.rows), "--check", str(args.check)]


@contextmanager
def _server(predictions: Path, args: argparse.Namespace) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "trainer.svhn", "review", str(predictions), "--port", "0", *_options(args)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            address = next(found for line in process.stderr if (found := re.search(r"http://\S+/", line)))
            yield process, address[0]
        finally:
            process.kill()


def _review(predictions: Path, rows: Rows, truths: dict[str, Truth], args: argparse.Namespace) -> int:
    """Answer the whole queue; return how many answers there are."""
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as program:
        for first in (True, False):
            with _server(predictions, args) as (process, address):
                page = program.open(address)
                done = _answer(page, rows, truths, most=args.rows // 4 if first else 1_000_000)
                process.send_signal(signal.SIGKILL if first else signal.SIGINT)
                process.wait()
                stored = len(_reviewed(predictions))
                assert stored >= done, "an answer is lost"
    return stored


def _answer(page: Page, rows: Rows, truths: dict[str, Truth], *, most: int) -> int:
    ready = "(!busy && shown !== null) || document.getElementById('status').textContent === 'Done.'"
    for done in range(most):
        page.wait(ready)
        key = page.run("shown && shown.row.key")
        if key is None:
            return done
        name = Path(key).name
        _press(page, rows[name], truths[name])
        page.wait(f"!busy && (!shown || shown.row.key !== {json.dumps(key)})")
    return most


def _press(page: Page, row: dict[str, Any], truth: Truth) -> None:
    """Answer a row as a person does who knows the truth."""
    if not truth.text:
        page.press("n")
        return
    if _overlap(row["box"], truth.corners) < OVERLAP:
        _draw(page, truth.corners)
    candidates: list[str] = page.run("shown.row.candidates")
    if truth.text in candidates:
        page.press(str(candidates.index(truth.text) + 1))
        return
    page.press("t")
    for character in truth.text:
        page.press(character)
    page.press("Enter")


def _draw(page: Page, corners: tuple[float, ...]) -> None:
    """Draw an upright frame around a number in the whole image."""
    page.press("b")
    page.wait("document.getElementById('figure').classList.contains('drawing')")
    left, top, scale = page.run(
        "(({left, top, scale, figure}) => [figure.left + left, figure.top + top, scale])(placement())"
    )
    xs, ys = ([edge + scale * value for value in corners[i::2]] for i, edge in enumerate((left, top)))
    page.drag(min(xs), min(ys), max(xs), max(ys))
    page.wait("shown.from === null")


def _overlap(box: list[float], corners: tuple[float, ...]) -> float:
    one, other = (Polygon(list(zip(edges[::2], edges[1::2], strict=True))) for edges in (box, corners))
    return one.intersection(other).area / max(1e-6, one.union(other).area)


def _reviewed(predictions: Path) -> set[str]:
    lines = Path(f"{predictions}.answers/answers.jsonl").read_text().splitlines()
    return {Path(json.loads(line)["key"]).name for line in lines}


def _share(rows: Rows, truths: dict[str, Truth], names: list[str]) -> str:
    right = sum(
        rows[name]["text"] == truths[name].text if truths[name].text else not rows[name]["numbers"] for name in names
    )
    low, high = wilson_interval(right, len(names))
    return f"{right}/{len(names)} {right / max(1, len(names)):.1%} ({low:.0%}-{high:.0%})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--scenes", type=int, default=300, help="of the bucket, and as many others")
    parser.add_argument("--rows", type=int, default=120, help="rows below the threshold that are reviewed")
    parser.add_argument("--check", type=int, default=60, help="rows of the random sample")
    return parser


if __name__ == "__main__":
    main()
