"""Fetch the official SVHN files: `python -m beam_pipelines.download --help`."""

import argparse
import sys

from beam_pipelines import beam_import, options, place_checks
from trainer import cli


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    beam_import.import_beam()
    from beam_pipelines.runs import download

    download.run(args)


def _check_place(flag: str, path: str) -> None:
    if flag != "--url":
        place_checks.check_local(flag, path)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Fetch the official SVHN files, for non-commercial use only. If interrupted, run it again to "
        "resume; files that are complete are kept.",
        example="python -m beam_pipelines.download --part train test --format 1 --output svhn",
        check_place=_check_place,
    )
    parser.add_argument(
        "--part", nargs="+", choices=["train", "test", "extra"], default=["train", "test"], help="parts of SVHN"
    )
    parser.add_argument("--format", choices=["1", "2"], default="1", help="1: whole numbers; 2: single digits, 32x32")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder in which train/, test/ and extra/ are created"
    )
    parser.add_argument("--url", default=options.SVHN_URL, help="a mirror of the files")
    parser.add_argument(
        "--sha256", nargs="+", default=[], metavar="NAME=SUM", help="checksums that override the known ones"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
