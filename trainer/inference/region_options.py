"""Command-line options that choose which regions of a photo are read."""

import argparse

from trainer.config import typed

MOST_NUMBERS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --regions and --max-numbers."""
    parser.add_argument(
        "--regions",
        choices=["found", "whole"],
        default="found",
        help="found: read each number that is found in a photo, and the whole photo; whole: read only the whole photo",
    )
    parser.add_argument(
        "--max-numbers",
        type=typed.integer(1, MOST_NUMBERS),
        default=MOST_NUMBERS,
        help="maximum number of answers per photo",
    )
