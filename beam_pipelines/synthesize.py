"""Write images of synthetic numbers as training records: `python -m beam_pipelines.synthesize --help`."""

import argparse
import sys

from beam_pipelines import beam_import, options, place_checks
from trainer import cli
from trainer.config import typed

STYLES = ("bib", "counter", "dots", "handwritten", "house", "plate", "segment")
BESIDE, STACKED, TURNED = 0.2, 0.25, 0.1  # the usual shares: those of `synthesis.texts`, without loading NumPy


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import synthesize

    synthesize.run(args, beam_args, argv)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Write images of synthetic numbers. Beam's own options (--runner, ...) are passed on.",
        example="python -m beam_pipelines.synthesize --source fonts --count 20000 --seed 7 --output data/synthetic",
        check_place=place_checks.check,
    )
    parser.add_argument(
        "--source",
        choices=["fonts", "mnist", "crops", "scenes", "regions"],
        default="fonts",
        help="fonts: drawn in many typefaces; mnist: MNIST digits side by side, 28x140; crops: real digits recombined; "
        "scenes: no number, one or several anywhere in a photo or on a drawn wall, for training a finder; "
        "regions: cut out of such scenes as by a finder, for training the recogniser that reads them",
    )
    parser.add_argument("--count", type=typed.integer(1, 10**10), required=True, help="number of images")
    parser.add_argument("--split", default="train", help="split of all images")
    parser.add_argument("--lengths", default="uniform", help="uniform, house, or a CSV file: length,weight or label")
    parser.add_argument("--digits", default="uniform", help="uniform, benford, or a CSV file: digit,weight or label")
    options.add_texts(parser)
    _add_drawing(parser)
    _add_sources(parser)
    _add_scenes(parser)
    parser.add_argument("--preview", metavar="PNG", help="write a PNG showing the images instead of a dataset")
    options.add_dataset(parser, output_required=False)
    parser.set_defaults(alphabet=None, max_digits=None)  # then those of --texts or --pattern, else 5 digits
    return parser


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    """Add the options of drawn numbers."""
    parser.add_argument(
        "--style",
        nargs="+",
        choices=STYLES,
        default=["house"],
        help="fonts: what the numbers are on; several occur equally often. bib: a runner's bib or a jersey; counter: a "
        "mechanical counter; dots: dots of ink or light; handwritten: paper or a board; house: walls and plates of "
        "houses; plate: a vehicle's plate; segment: a seven-segment display",
    )
    parser.add_argument(
        "--beside",
        type=_share,
        default=BESIDE,
        help="fonts, scenes: proportion of drawn numbers with a letter, a prefix or a word beside them, which is not "
        "part of their text, 0 to 1",
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the options for the sources of digits."""
    parser.add_argument("--mnist", metavar="DIR", help="mnist: folder with the idx files")
    parser.add_argument(
        "--records",
        nargs="+",
        default=[],
        metavar="DIR",
        help="crops: datasets with character boxes; scenes, regions: datasets with boxes, whose numbers are used",
    )
    parser.add_argument(
        "--record-limit",
        type=typed.integer(1, 10**9),
        default=20_000,
        help="crops, scenes, regions: records held in memory per worker",
    )


def _add_scenes(parser: argparse.ArgumentParser) -> None:
    """Add the options of whole scenes, and of the regions cut out of them."""
    parser.add_argument(
        "--backgrounds", metavar="DIR", help="scenes: folder of photos without numbers; without it, walls are drawn"
    )
    parser.add_argument(
        "--photos",
        nargs="+",
        default=[],
        metavar="DIR",
        help="scenes: datasets with boxes whose photos appear whole, with the surroundings of their numbers",
    )
    parser.add_argument(
        "--scene-size",
        type=typed.integer(64, 4096),
        default=384,
        metavar="PIXELS",
        help="scenes: the longer side in pixels",
    )
    parser.add_argument(
        "--empty", type=_share, default=0.25, help="scenes, regions: proportion of images without a number, 0 to 1"
    )
    parser.add_argument(
        "--stacked",
        type=_share,
        default=STACKED,
        help="scenes: proportion of numbers of several characters whose characters stand below one another; regions: "
        "proportion of regions that show such a number, if the records have any; 0 to 1",
    )
    parser.add_argument(
        "--turned",
        type=_share,
        default=TURNED,
        help="scenes: proportion of the other numbers that are rotated by about 90 degrees; of all scenes, a third of "
        "that proportion are rotated whole; 0 to 1",
    )


if __name__ == "__main__":
    sys.exit(main())
