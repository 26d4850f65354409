"""Measure what a wider beam costs and gives: CPU time, and how many candidates differ from those of a very wide one.

python -m benchmarks.beam --images ../shared/data/photos --split validation

All widths return the same number of candidates, and are measured in turn in one run.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks import rows, scoring
from benchmarks.rows import LOWER, Row
from trainer import cli
from trainer.cluster import environment

BATCH = 32  # images


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    environment.configure()
    from trainer.inference.exports import any_model

    model = any_model.load(args.model, "tensorflow")
    files = [path.read_bytes() for path, _ in scoring.labelled(Path(args.images), args.split)[: args.count]]

    def candidates(width: int, some: list[bytes]) -> list[list[str]]:
        batches = [some[i : i + BATCH] for i in range(0, len(some), BATCH)]
        answers = [
            answer for batch in batches for answer in model.read(batch, beam_width=width, candidates=args.candidates)
        ]
        return [[candidate["text"] for candidate in answer.candidates] for answer in answers]

    few = files[: args.few]
    best = candidates(args.reference, few)
    differ = {width: sum(a != b for a, b in zip(candidates(width, few), best, strict=True)) for width in args.widths}
    seconds: dict[int, list[float]] = {width: [] for width in args.widths}
    for _ in range(args.rounds):
        for width in args.widths:
            begin = time.process_time()
            candidates(width, files)
            seconds[width].append(time.process_time() - begin)
    first, *wider = (
        Row(f"beam width {width}", "CPU ms/image", [1000 * each / len(files) for each in seconds[width]], LOWER)
        for width in args.widths
    )
    found = [first, *(row.relative_to(first) for row in wider)]
    print(f"{len(files)} images, {args.candidates} candidates, medians of {args.rounds} rounds\n")
    print(f"| beam width | CPU ms an image | relative | others than with {args.reference}, of {len(few)} |")
    print("|---|---|---|---|")
    for width, row in zip(args.widths, found, strict=True):
        print(f"| {width} | {row.median:.2f} | {row.median / first.median:.3f} | {differ[width]} |")
    rows.write(args.json, found)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.beam --images photos")
    parser.add_argument("--images", required=True, help="a folder with labels.csv and images/")
    parser.add_argument("--split", help="only the images of this split of labels.csv")
    parser.add_argument("--model", default="released-fast", help="an exported model that reads whole images")
    parser.add_argument("--widths", type=int, nargs="+", default=[3, 6], help="beam widths, the first to compare with")
    parser.add_argument("--candidates", type=int, default=3, help="returned with each width")
    parser.add_argument("--reference", type=int, default=300, help="beam width whose candidates are taken as the best")
    parser.add_argument("--count", type=int, default=256, help="images to measure CPU time on")
    parser.add_argument("--few", type=int, default=64, help="of them, images to compare the candidates of")
    parser.add_argument("--rounds", type=int, default=5, help="times that each width is measured")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
