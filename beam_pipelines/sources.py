"""What a labelled input offers: one light pass over its keys, then each picture by its place, in any order.

A source is a few strings that travel to the workers. The file that it reads is opened once in each process.
"""

import re
import shutil
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO, Protocol

import numpy as np
from apache_beam.io.filesystems import FileSystems
from PIL import Image

from beam_pipelines import dataset
from trainer.cli import UserError
from trainer.records import Box

PICTURE_ENDINGS = tuple(Image.registered_extensions())


@dataclass(frozen=True)
class Labelled:
    """A picture before it is read.

    Attributes:
      key: unique among all.
      picture: the path of its file, or the picture itself.
      text: what it says.
      box: of the number, in pixels of the picture as people see it; it may leave the picture. None where unknown.
      char_boxes: of its characters, or empty.
    """

    key: str
    picture: str | Image.Image
    text: str
    box: Box | None = None
    char_boxes: tuple[Box, ...] = ()


class Source(Protocol):
    """Labelled pictures, each at a place, which is a number; must be picklable."""

    @property
    def name(self) -> str:
        """The `source` of its records."""

    @property
    def has_boxes(self) -> bool:
        """Whether it says where numbers are."""

    @property
    def pictures(self) -> tuple[str, str] | None:
        """The folder of the picture files and what all keys begin with, or None where there are no files."""

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        """The place, the key and, if the input names one, the split of each picture, in the input's order."""

    def key(self, place: int) -> str:
        """The key of one."""

    def read(self, place: int) -> Labelled:
        """Raises `Reject` for an entry that makes no sense."""


@dataclass(frozen=True)
class Contents:
    """What the light pass found.

    Attributes:
      splits: the places of each split, in a seeded order of all.
      duplicates: the places of all but the first of those with the same key.
      unlabelled: how many picture files have no entry.
    """

    splits: dict[str, Sequence[int]]
    duplicates: frozenset[int]
    unlabelled: int


def survey(source: Source, shares: list[tuple[str, float]], seed: int) -> Contents:
    """Goes through the keys of a source, and keeps 18 bytes of each.

    Args:
      source: of which only the keys are read.
      shares: decide the split where the input does not.
      seed: decides the order.
    Raises:
      UserError: there are no entries, or a split cannot be the name of a file.
    """
    places, keys, owners = array("q"), array("Q"), array("H")
    names: dict[str, int] = {}
    for place, key, split in source.entries():
        places.append(place)
        keys.append(_hash(key))
        owners.append(names.setdefault(split or dataset.split_of(key, shares), len(names)))
    if not places:
        raise UserError("the input names no pictures")
    for name in names:
        if not re.fullmatch(dataset.SPLIT_NAME, name):
            raise UserError(f"the input names a split {name!r}: it must be of small letters and digits")
    at, owner, hashes = np.array(places), np.array(owners), np.array(keys)
    order = np.random.default_rng(seed).permutation(len(at))
    _, first = np.unique(hashes, return_index=True)
    return Contents(
        splits={name: array("q", at[order][owner[order] == i].tobytes()) for name, i in names.items()},
        duplicates=frozenset(np.delete(at, first).tolist()),
        unlabelled=_unlabelled(source, hashes),
    )


def _unlabelled(source: Source, hashes: np.ndarray) -> int:
    if source.pictures is None:
        return 0
    folder, prefix = source.pictures
    found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
    files = (file.path.rsplit("/", 1)[-1] for file in found if file.path.lower().endswith(PICTURE_ENDINGS))
    return len(np.setdiff1d(np.fromiter((_hash(f"{prefix}/{name}") for name in files), np.uint64), hashes))


def _hash(key: str) -> int:
    """Of 64 bits: among a million keys two have the same with a probability of 3e-8."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


def local_file(path: str) -> BinaryIO:
    """Opens a file, a remote one as a local copy that leaves nothing behind."""
    if "://" not in path:
        return open(path, "rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is handed out
    with FileSystems.open(path, compression_type="uncompressed") as file:
        shutil.copyfileobj(file, copy, 1 << 20)
    copy.flush()
    return copy
