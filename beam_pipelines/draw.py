"""Draws made-up numbers as picture files with `labels.csv`, as people hold their own: see `--help`."""

import csv
import sys
from pathlib import Path

from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.fonts import Fonts
from trainer import cli
from trainer.cli import UserError
from trainer.vocab import DIGITS


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Draw made-up numbers as PNG files with a labels.csv, to look at or to try the road with.",
        example="python -m beam_pipelines.draw --count 100 --seed 8 --output pictures",
    )
    parser.add_argument("--count", type=int, required=True, help="how many pictures")
    parser.add_argument("--seed", type=int, default=0, help="decides all that is random")
    parser.add_argument("--max-digits", type=int, default=5, help="the longest number")
    parser.add_argument("--output", required=True, help="the folder, which must be empty or of the same command")
    args = parser.parse_args(argv)
    if args.count < 1:
        raise UserError(f"--count {args.count}: it must be at least 1")
    draw = Fonts(args.seed, texts.from_options("uniform", "uniform", max_digits=args.max_digits, alphabet=DIGITS))
    folder = Path(args.output)
    labels = folder / "labels.csv"
    if folder.exists() and any(folder.iterdir()) and not labels.exists():
        raise UserError(f"{folder} is not empty and has no labels.csv: choose another --output")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(args.count):
        drawn = draw(index)
        name = f"{args.seed}-{index:06d}.png"
        drawn.image.save(folder / "images" / name)
        rows.append((name, drawn.text))
    with labels.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    print(f"drew {args.count} pictures, labelled in {labels}")


if __name__ == "__main__":
    sys.exit(main())
