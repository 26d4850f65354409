"""The command-line options that say which regions of a photo are read."""

import argparse

from trainer.config import typed

MOST_NUMBERS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --regions and --max-numbers."""
    parser.add_argument(
        "--regions",
        choices=["found", "whole"],
        default="found",
        help="found: read the numbers that are found in each photo, and the whole photo; whole: only the latter",
    )
    parser.add_argument(
        "--max-numbers", type=typed.integer(1, MOST_NUMBERS), default=MOST_NUMBERS, help="most numbers of a photo"
    )
