"""Turn labelled images into training records: `python -m beam_pipelines.prepare --help`."""

import argparse
import sys

from beam_pipelines import beam_import, options, place_checks
from trainer import cli
from trainer.data.images import megapixels


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import prepare

    prepare.run(args, beam_args, argv)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Turn labelled images into sharded TFRecords. Beam's own options (--runner, ...) are passed on.",
        example="python -m beam_pipelines.prepare --format digitstruct --input svhn/train --output data/svhn",
        check_place=place_checks.check,
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=["digitstruct", "cropped32", "csv", "coco"],
        help="digitstruct: SVHN format 1, photos; cropped32: SVHN format 2, single digits; "
        "csv: rows of file,label[,split] and, in pixels, the number's box (left,top,width,height) or its corners "
        "(x0,y0,...,x3,y3, clockwise from its upper left); coco: a COCO file whose annotations have a text",
    )
    parser.add_argument(
        "--input", required=True, metavar="INPUT", help="folder with digitStruct.mat; or the .mat, CSV or JSON file"
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="csv, coco: folder of the images; default: images/ next to the list, else the list's folder",
    )
    parser.add_argument(
        "--split",
        default="train",
        help="split of images to which the input assigns none, or shares: train:0.9,validation:0.1",
    )
    _add_crop(parser)
    megapixels.add_argument(parser)
    options.add_dataset(parser)
    return parser


def _add_crop(parser: argparse.ArgumentParser) -> None:
    """Add the options for how much of each image is kept."""
    parser.add_argument(
        "--crop",
        choices=options.CROPS,
        help="tight: a square 1.3 times the number; context: the number with random margins, its aspect ratio kept, "
        "which needs images with real surroundings; whole: the entire image. Default: tight if there are boxes, else "
        "whole; coco: whole",
    )
    parser.add_argument("--size", type=int, default=64, help="tight: side of the square, in pixels")
    parser.add_argument(
        "--max-side", type=int, default=256, help="context, whole: longest side in pixels; larger images are shrunk"
    )
    parser.add_argument(
        "--context",
        type=float,
        nargs=2,
        metavar=("MIN", "MAX"),
        default=[0.0, 0.4],
        help="context: each margin is the number's height times a random factor between these two",
    )


if __name__ == "__main__":
    sys.exit(main())
