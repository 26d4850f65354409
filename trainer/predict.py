"""Read the numbers in a few images; print or draw the answers: `python -m trainer.predict --help`."""

import argparse
import os
import sys
from collections.abc import Sequence

from trainer import cli, released
from trainer.cluster import environment, place_checks
from trainer.data.images import megapixels
from trainer.inference.photos import region_options


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    from trainer.data.images import image_kinds
    from trainer.files import replaceable
    from trainer.inference import few_images

    if args.draw:
        replaceable.check_replaceable(args.draw, "--draw")
        _check_not_read(args.draw, args.images)
    image_kinds.limit_megapixels(args.max_megapixels)
    environment.configure(use_tensorflow=False)  # the model imports it if needed
    few_images.read(args)


def _check_not_read(drawing: str, images: Sequence[str]) -> None:
    """Check that the drawing does not replace one of the images.

    Raises:
      UserError: it would.
    """
    for path in images:
        if os.path.exists(drawing) and os.path.exists(path) and os.path.samefile(drawing, path):
            raise cli.UserError(f"--draw {drawing} would replace the image itself: give the path of a new PNG")


def _check_place(flag: str, path: str) -> None:
    """Check the paths of all arguments except the images: an unreadable image must not stop the others."""
    if flag != "images":
        place_checks.check(flag, path)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the numbers in a few images.",
        example="python -m trainer.predict image.png --draw read.png",
        check_place=_check_place,
    )
    parser.add_argument("--model", default=released.DEFAULT, metavar="EXPORT", help=released.HELP)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files in any format that Pillow reads")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="json: one object per line")
    parser.add_argument(
        "--draw",
        metavar="PNG",
        help="also draw each photo with its numbers framed; for a model that reads whole images, each image, its "
        "answer, and where the model looked for each character",
    )
    region_options.add_beam(parser)
    region_options.add_arguments(parser)
    region_options.add_engine(parser)
    megapixels.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
