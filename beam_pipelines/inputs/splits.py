"""Determine the split of a dataset to which an image belongs."""

import math
import re
import zlib

from trainer.cli import UserError

SPLIT_NAME = r"[a-z][a-z0-9_]*"


def parse_split(text: str) -> list[tuple[str, float]]:
    """Parse `train`, or shares as in `train:0.9,validation:0.1`.

    Raises:
      UserError: it is neither, or the shares are not positive.
    """
    parts = [part.partition(":") for part in text.split(",")]
    try:
        shares = [(name, float(share or 1)) for name, _, share in parts]
    except ValueError as error:
        raise UserError(f"--split {text}: write a name, or shares as in train:0.9,validation:0.1") from error
    for name, share in shares:
        if not re.fullmatch(SPLIT_NAME, name) or not 0 < share < math.inf:
            raise UserError(
                f"--split {text}: {name!r} must be lower-case letters, digits and underscores, "
                "its share finite and above 0"
            )
    if len({name for name, _ in shares}) < len(shares):
        raise UserError(f"--split {text}: name each split once")
    return shares


def split_of(key: str, shares: list[tuple[str, float]]) -> str:
    """Return the split of an image; it depends only on the key, so it stays when other images are added or removed."""
    spot = zlib.crc32(key.encode()) / 2**32 * sum(share for _, share in shares)
    for name, share in shares:
        spot -= share
        if spot < 0:
            return name
    return shares[-1][0]
