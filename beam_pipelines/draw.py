"""Draw synthetic numbers as image files with a `labels.csv`, as users store their own images: see `--help`."""

import csv
import re
import sys
from pathlib import Path

from beam_pipelines.sharding import places
from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.fonts import Fonts
from trainer import cli
from trainer.cli import UserError
from trainer.config import typed
from trainer.vocab import DIGITS

HEADER = ["file", "label"]
NAME = re.compile(r"\d+-\d{6}\.png")  # seed and index


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Draw synthetic numbers as PNG files with a labels.csv, to look at or for a quick end-to-end test.",
        example="python -m beam_pipelines.draw --count 100 --seed 8 --output images",
        check_place=places.check_local,
    )
    parser.add_argument("--count", type=typed.integer(1, 10**10), required=True, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--max-digits", type=typed.integer(1, 100), default=5, help="most digits")
    parser.add_argument("--output", required=True, help="output folder: new, empty, or written by this command")
    args = parser.parse_args(argv)
    if args.count < 1:
        raise UserError(f"--count {args.count}: it must be at least 1")
    draw = Fonts(args.seed, texts.from_options("uniform", "uniform", max_digits=args.max_digits, alphabet=DIGITS))
    folder = Path(args.output)
    labels = folder / "labels.csv"
    names = [f"{args.seed}-{index:06d}.png" for index in range(args.count)]
    _check_ours(folder, labels)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, name in enumerate(names):
        drawn = draw(index)
        drawn.image.save(folder / "images" / name)
        rows.append((name, drawn.text))
    with labels.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    print(f"drew {args.count} images; their labels are in {labels}")


def _check_ours(folder: Path, labels: Path) -> None:
    """Check that a folder holds only what this command wrote: labels.csv and the images that it names.

    Raises:
      UserError: it holds anything else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--output {folder} is not a folder: choose another --output")
    ours = _drawn(labels)
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or (path not in ours and path != folder / "images"):
            raise UserError(
                f"{folder} holds {path.relative_to(folder)}, which this command did not write: choose another --output"
            )


def _drawn(labels: Path) -> set[Path]:
    """Return the labels file and the images that it names if this command wrote it, else an empty set."""
    if not labels.is_file() or labels.is_symlink():
        return set()
    with labels.open(newline="", encoding="utf-8", errors="replace") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    if header != HEADER or not all(len(row) == 2 and NAME.fullmatch(row[0]) for row in rows):
        return set()
    return {labels, *(labels.parent / "images" / row[0] for row in rows)}


if __name__ == "__main__":
    sys.exit(main())
