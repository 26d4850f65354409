"""Labelled inputs: one light pass over the keys, then access to each image by its place, in any order.

A source is a few strings that are sent to the workers. Each process opens the file that it reads once.
"""

import os
import posixpath
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

from beam_pipelines.inputs import splits
from beam_pipelines.sharding import listing
from trainer import troubles
from trainer.cli import UserError
from trainer.data.image_kinds import IMAGE_ENDINGS
from trainer.data.records import Box
from trainer.files.local_file import open_regular


@dataclass(frozen=True)
class Labelled:
    """A labelled image before it is read.

    Attributes:
      key: unique among all.
      image: the path of its file, or the image itself.
      text: the number that it shows.
      box: of the number, in pixels of the upright image; may extend beyond it. None if unknown.
      char_boxes: of its characters, or empty.
    """

    key: str
    image: str | Image.Image
    text: str
    box: Box | None = None
    char_boxes: tuple[Box, ...] = ()


class Source(Protocol):
    """Labelled images, each addressed by its place, a number; must be picklable."""

    @property
    def name(self) -> str:
        """The `source` of its records."""

    @property
    def has_boxes(self) -> bool:
        """Whether it has the boxes of numbers."""

    @property
    def images(self) -> tuple[str, str] | None:
        """The folder of the image files and the prefix of all keys, or None if there are no files."""

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the place, the key and, if the input gives one, the split of each image, in the input's order."""

    def key(self, place: int) -> str:
        """Return the key of an image."""

    def read(self, place: int) -> Labelled:
        """Return an image. Raise `Reject` for an invalid entry."""


@dataclass(frozen=True)
class Survey:
    """What the light pass found.

    Attributes:
      splits: the places of each split, in a seeded random order.
      duplicates: the places of all but the first image with the same key.
      unlabelled: the number of image files without an entry.
    """

    splits: dict[str, Sequence[int]]
    duplicates: frozenset[int]
    unlabelled: int


def survey(source: Source, shares: list[tuple[str, float]], seed: int) -> Survey:
    """Scan the keys of a source, keeping 18 bytes for each.

    Args:
      source: only its keys are read.
      shares: determine the split if the input gives none.
      seed: determines the order.
    Raises:
      UserError: there are no entries, or a split cannot be used as a file name.
    """
    places, keys, owners = array("q"), array("Q"), array("H")
    names: dict[str, int] = {}
    for place, key, split in source.entries():
        places.append(place)
        keys.append(_hash(key))
        owners.append(names.setdefault(split or splits.split_of(key, shares), len(names)))
    if not places:
        raise UserError("the input names no images")
    for name in names:
        if not re.fullmatch(splits.SPLIT_NAME, name):
            raise UserError(f"the input names a split {name!r}: it must consist of lower-case letters and digits")
    at, owner, hashes = np.array(places), np.array(owners), np.array(keys)
    order = np.random.default_rng(seed).permutation(len(at))
    _, first = np.unique(hashes, return_index=True)
    return Survey(
        splits={name: array("q", at[order][owner[order] == i].tobytes()) for name, i in names.items()},
        duplicates=frozenset(np.delete(at, first).tolist()),
        unlabelled=_unlabelled(source, hashes),
    )


def _unlabelled(source: Source, hashes: np.ndarray) -> int:
    if source.images is None:
        return 0
    folder, prefix = source.images
    below = listing.below(folder or ".", on_error=lambda _: None)
    paths = (file.path for file in below if file.path.lower().endswith(IMAGE_ENDINGS))
    names = (path[len(folder) :].lstrip("/") if folder else path.removeprefix("./") for path in paths)
    keys = (posixpath.join(prefix, name) for name in names)
    return len(np.setdiff1d(np.fromiter(map(_hash, keys), np.uint64), hashes))


def _hash(key: str) -> int:
    """Return a 64-bit hash: among a million keys, two collide with a probability of 3e-8."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def inside(written: str) -> str | None:
    """Return the canonical form of an image's name relative to a folder; None if it leads out of the folder.

    Backslashes are treated as slashes: lists written under Windows have them.
    """
    name = written.replace("\\", "/")
    if "://" in name:
        return None
    name = posixpath.normpath(name)
    return None if name == "." or re.match(r"/|\.\.(/|$)|[A-Za-z]:/", name) else name


def below(folder: str, path: str) -> str | None:
    """Return the name of a path relative to a folder; None if it is not in the folder."""
    path = path.replace("\\", "/")
    scheme = path.partition("://")[0] if listing.is_remote(path) else ""
    if scheme != (folder.partition("://")[0] if listing.is_remote(folder) else ""):
        return None
    if scheme:
        top, one = (posixpath.normpath(name.partition("://")[2]) for name in (folder, path))
    else:
        top, one = os.path.abspath(folder), os.path.abspath(path)
    top = top.rstrip("/") + "/"
    return inside(one[len(top) :]) if one.startswith(top) else None


def local_file(path: str) -> BinaryIO:
    """Open a file, a remote one as a local copy that leaves nothing behind.

    Raises:
      NotAFile: it is a pipe, a device or a folder.
      OSError: it cannot be opened.
    """
    return _copy(path) if listing.is_remote(path) else open_regular(path)


def private_copy(path: str, written: float) -> BinaryIO:
    """Open a copy that leaves nothing behind, so that truncating the file does not kill readers of a memory map.

    Args:
      path: local or remote.
      written: modification time of the file when the run began.
    Raises:
      UserError: it was modified since.
    """
    copy = _copy(path)
    if FileSystems.last_updated(path) != written:
        raise UserError(f"{path} changed while it was read: run again once nothing else writes to it")
    return copy


def _copy(path: str) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with listing.opened(path) as file, troubles.naming(tempfile.gettempdir()):
        shutil.copyfileobj(file, copy, 1 << 20)
    copy.flush()
    return copy
