"""Draw synthetic numbers as image files with a `labels.csv`, as users store their own images: see `--help`."""

import argparse
import sys

from beam_pipelines import beam_import, options, place_checks
from trainer import cli
from trainer.config import typed


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import draw

    draw.run(args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Draw synthetic numbers as PNG files with a labels.csv, for inspection or a quick end-to-end test.",
        example="python -m beam_pipelines.draw --count 100 --seed 8 --output images",
        check_place=place_checks.check_local,
    )
    parser.add_argument("--count", type=typed.integer(1, 10**10), required=True, help="number of images")
    parser.add_argument("--seed", type=typed.integer(0, 2**63), default=0, help="random seed")
    parser.add_argument("--max-digits", type=typed.integer(1, 100), help="maximum number of digits (default: 5)")
    options.add_texts(parser)
    scenes = parser.add_argument(
        "--scene-size",
        dest="scenes",
        type=typed.integer(32, 4096),
        metavar="PIXELS",
        help="draw whole scenes, whose longer side has this many pixels, and label each number with its corners",
    )
    cli.accept_former(parser, "--scenes", of=scenes)
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="output folder: new, empty, or written by this command"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
