"""Show what a dataset contains, and find errors in it: `python -m beam_pipelines.inspect --help`."""

import argparse
import sys

from beam_pipelines import beam_import, place_checks
from trainer import cli
from trainer.config import typed


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    status = 0

    def run(argv: list[str] | None) -> None:
        nonlocal status
        status = _run(argv)

    return cli.exit_status(run, argv) or status


def _run(argv: list[str] | None) -> int:
    args = _parser().parse_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import inspect

    return inspect.run(args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Show what a dataset contains. With --verify, print a line for each difference from what was "
        "written, and exit with status 1 if there are any.",
        example="python -m beam_pipelines.inspect data/svhn --verify --sheet svhn.png",
        check_place=place_checks.check,
    )
    parser.add_argument("folder", metavar="FOLDER", help="a dataset written by prepare or synthesize, local or gs://")
    parser.add_argument("--verify", action="store_true", help="first recompute every checksum and count")
    parser.add_argument("--sheet", metavar="PNG", help="draw a sample of images to this file, with labels and boxes")
    parser.add_argument("--coco", metavar="JSON", help="write the boxes and texts of all numbers as a COCO file")
    parser.add_argument("--sample", type=typed.integer(1, 10**6), default=60, help="images on the sheet")
    parser.add_argument("--seed", type=typed.integer(0, 2**63), default=0, help="random seed of the sample")
    return parser


if __name__ == "__main__":
    sys.exit(main())
