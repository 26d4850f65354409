"""Read the numbers in many images with an exported model: `python -m beam_pipelines.score --help`."""

import argparse
import sys

from beam_pipelines import beam_import, options, place_checks
from trainer import cli, released
from trainer.config import typed
from trainer.data.images import megapixels
from trainer.inference.photos import region_options


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import score

    score.run(args, beam_args)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the numbers in many images. Beam's own options (--runner, ...) are passed on.",
        example="python -m beam_pipelines.score --input 'photos/*.png' --output out/read",
        check_place=place_checks.check,
    )
    parser.add_argument("--model", default=released.DEFAULT, metavar="EXPORT", help=released.HELP)
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="INPUT",
        help="images: files, patterns, folders, gs:// prefixes, .tar or .zip archives, lists of paths (@FILE or "
        "FILE.txt), or TFRecords from prepare or synthesize, whose labels give the accuracy",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR_OR_FILE",
        help="folder for the predictions; or one file for all rows, ending in .csv, .jsonl or .parquet, with rejects "
        "and counts in a folder next to it whose name ends in .parts",
    )
    _add_output_options(parser)
    _add_confidence_options(parser)
    region_options.add_arguments(parser)
    _add_resumption(parser)
    megapixels.add_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace existing predictions")
    options.add_partition(parser)
    return parser


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=options.PREDICTION_FORMATS, help="format of the predictions (default: jsonl)"
    )
    parser.add_argument(
        "--num-shards",
        type=int,
        help=f"number of prediction files; by default one for every {options.IMAGES_PER_SHARD} images, at most "
        f"{options.MOST_SHARDS}",
    )
    parser.add_argument("--batch-size", type=typed.integer(1, 1_000_000), default=128, help="images per batch")
    region_options.add_beam(parser)
    region_options.add_precision(parser)


def _add_confidence_options(parser: argparse.ArgumentParser) -> None:
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument(
        "--min-confidence", type=float, default=0.0, help="rows with a lower confidence are marked for review"
    )
    limit.add_argument(
        "--target-accuracy",
        type=float,
        metavar="SHARE",
        help="accept answers above the confidence that gave this accuracy in calibration, e.g. 0.98; "
        "expect slightly less on other images (expected_accuracy in model_info.json)",
    )


def _add_resumption(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume-from",
        metavar="PREDICTIONS",
        help="carry over rows of earlier predictions for these images, e.g. by another model, and read only the others",
    )
    parser.add_argument(
        "--only-below",
        type=float,
        metavar="CONFIDENCE",
        help="with --resume-from: read those images again whose earlier answer has a lower confidence",
    )


if __name__ == "__main__":
    sys.exit(main())
