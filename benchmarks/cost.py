"""Measure the CPU seconds per image of the scoring job, from which cost and the number of shards follow.

python -m benchmarks.cost --images photos --models released-photos

The job reads the images once, and once only the first of them, whose CPU seconds are those of the start. Other work on
the machine makes CPU seconds longer, but less so than seconds.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from benchmarks import rows, scoring
from benchmarks.rows import LOWER, Row
from trainer import cli

SHARD_SECONDS = 45  # of work in a shard: short beside the job, long beside the start of a shard
MILLION = 1_000_000


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    paths = sorted(path.resolve() for path in args.images.iterdir() if path.suffix != ".csv")
    if not paths:
        raise cli.UserError(f"--images {args.images}: no files; give a folder of images")
    print("| model | images | CPU ms/image | CPU hours per million | images in a shard of 45 s | CPU s to start |")
    print("|---|---|---|---|---|---|")
    found = []
    for model in args.models:
        per_image, start = zip(*(measure(model, paths, args.count) for _ in range(args.repeats)), strict=True)
        row = Row(f"{model}, CPU", "CPU ms/image", [1000 * each for each in per_image], LOWER)
        found += [row, Row(f"{model}, start", "CPU s", list(start), LOWER)]
        hours, shard = row.median * MILLION / 1000 / 3600, SHARD_SECONDS * 1000 / row.median
        print(f"| {model} | {args.count:,} | {row.median:.1f} | {hours:.2f} | {shard:,.0f} | {found[-1].median:.1f} |")
    rows.write(args.json, found)


def measure(model: str, paths: list[Path], count: int) -> tuple[float, float]:
    """Return the CPU seconds of each further image, and those of a job with one image."""
    with tempfile.TemporaryDirectory() as name:
        top, jobs = Path(name), []
        for images in (1, count):
            folder = top / f"images-{images}"
            folder.mkdir()
            for i, path in enumerate(itertools.islice(itertools.cycle(paths), images)):
                (folder / f"{i:07d}-{path.name}").symlink_to(path)
            jobs.append(scoring.job(Path(model), folder, top / f"out-{images}", [""] * images, 128))
    one, all_images = jobs
    return (all_images.cpu_seconds - one.cpu_seconds) / (all_images.images - one.images), one.cpu_seconds


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.cost --images photos --models released-fast")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images")
    parser.add_argument("--models", nargs="+", default=["released-photos"], metavar="EXPORT", help="exported models")
    parser.add_argument("--count", type=int, default=2_000, help="images of the job, repeated as needed")
    parser.add_argument("--repeats", type=int, default=1, help="times that each model is measured")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
