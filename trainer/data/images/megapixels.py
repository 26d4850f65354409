"""Define the option --max-megapixels, without importing Pillow."""

import argparse

DEFAULT_MEGAPIXELS, LARGEST_MEGAPIXELS = 89.478485, 100_000  # Pillow's own limit; its sizes in memory are 64-bit


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--max-megapixels`."""
    parser.add_argument(
        "--max-megapixels",
        type=_megapixels,
        default=DEFAULT_MEGAPIXELS,
        metavar="MP",
        help="reject larger images, since a small file can claim any size. By default the limit is lower for WebP, 25, "
        "and for AVIF and HEIC, 50. Decoding takes 4 bytes of memory per pixel, and up to 20 for these and JPEG 2000",
    )


def _megapixels(text: str) -> float:
    value = float(text)
    if not 0 < value < LARGEST_MEGAPIXELS:
        raise argparse.ArgumentTypeError(f"{text}: it must be above 0 and below {LARGEST_MEGAPIXELS:,}")
    return value
