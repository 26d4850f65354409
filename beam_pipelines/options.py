"""Options that several commands share, and constants that their help mentions; nothing here imports Beam."""

import argparse

from trainer import cli
from trainer.config import typed
from trainer.vocab import DIGITS, Vocab

CROPS = ("tight", "context", "whole")
PREDICTION_FORMATS = ("jsonl", "parquet", "csv")
IMAGES_PER_SHARD, MOST_SHARDS = 500, 1_000  # of predictions, by default
SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"


def add_dataset(parser: argparse.ArgumentParser, *, output_required: bool = True) -> None:
    """Add the options of every command that writes a dataset."""
    parser.add_argument("--output", required=output_required, metavar="DIR", help="folder for the dataset")
    parser.add_argument("--num-shards", type=int, default=8, help="number of files per split")
    parser.add_argument(
        "--seed",
        type=typed.integer(0, 2**63),
        default=0,
        help="random seed, which also determines the order of the records",
    )
    parser.add_argument("--max-digits", type=typed.integer(1, 100), default=5, help="maximum number of digits")
    parser.add_argument("--alphabet", type=_alphabet, default=DIGITS, help="characters allowed in labels")
    parser.add_argument("--image-format", choices=["png", "jpeg"], default="png", help="format of re-encoded images")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing dataset")
    add_partition(parser)


def add_partition(parser: argparse.ArgumentParser) -> None:
    """Add `--partition I/N`."""
    partition = parser.add_argument(
        "--partition",
        dest="share",
        metavar="I/N",
        help="write partition I (from 0) of N; the last of N processes with the same options completes the output",
    )
    cli.accept_former(parser, "--share", of=partition)


def add_texts(parser: argparse.ArgumentParser) -> None:
    """Add --texts and --pattern."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--texts", metavar="FILE", help="texts to draw, one per line, instead of random numbers")
    given.add_argument(
        "--pattern",
        metavar="REGEX",
        help=r"draw texts that match a regular expression, e.g. '[A-Z]{2}-\d{3}', instead of random numbers",
    )


def _alphabet(text: str) -> str:
    try:
        return Vocab(text).alphabet
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
