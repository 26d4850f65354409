"""Labelled inputs: one light pass over the keys, then access to each image by its place, in any order.

A source is a few strings, which are sent to the workers. Each process opens the file only once.
"""

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

from beam_pipelines.inputs import repeats, splits
from beam_pipelines.inputs.repeats import NO_REPEATS, Repeats
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer import troubles
from trainer.cli import UserError
from trainer.data.formats.records import Box, Number
from trainer.data.images.image_kinds import IMAGE_ENDINGS
from trainer.data.labels import box_corners
from trainer.files.local_file import open_regular


@dataclass(frozen=True)
class Labelled:
    """A labelled image before it is read.

    Attributes:
      key: unique in the input.
      image: the path of its file, or the image itself.
      text: the number that it shows; the largest, if there are several.
      box: of that number, in pixels of the upright image; may extend beyond the image. None if unknown.
      char_boxes: of its characters, or empty.
      numbers: all numbers with their corners, likewise in pixels; empty if unknown.
      size: width and height of the image to which the boxes refer, or None if the input does not say.
      shows_none: whether the input says that there is no number in it.
    """

    key: str
    image: str | Image.Image
    text: str
    box: Box | None = None
    char_boxes: tuple[Box, ...] = ()
    numbers: tuple[Number, ...] = ()
    shows_none: bool = False
    size: tuple[int, int] | None = None


class Source(Protocol):
    """Labelled images, each addressed by its place, a number; must be picklable."""

    @property
    def name(self) -> str:
        """The `source` of its records."""

    @property
    def has_boxes(self) -> bool:
        """Whether it has the boxes of numbers."""

    @property
    def has_several(self) -> bool:
        """Whether several entries of one image mean several numbers in it."""

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
    """The result of the light pass.

    Attributes:
      splits: the places of each split, in a seeded random order.
      duplicates: if entries are not grouped, the places of all but the first entry of each image.
      repeats: if entries are grouped, the same by image; then `splits` has only the first entry of each image.
      unlabelled: the number of image files without an entry.
    """

    splits: dict[str, Sequence[int]]
    duplicates: frozenset[int]
    unlabelled: int
    repeats: Repeats = NO_REPEATS


def survey(source: Source, shares: list[tuple[str, float]], seed: int, *, grouped: bool = False) -> Survey:
    """Scan the keys of a source, keeping 18 bytes for each.

    Args:
      source: the input, of which only the keys are read.
      shares: determine the split of an image if the input does not.
      seed: determines the order.
      grouped: whether several entries of one image belong together.
    Raises:
      UserError: there are no entries, a split cannot be used as a file name, or entries of one image that belong
        together name different splits.
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
    at, owner, hashes = (np.frombuffer(one, one.typecode) for one in (places, owners, keys))  # without a copy
    again, first = repeats.find(hashes)
    order = np.random.default_rng(seed).permutation(len(at))
    if grouped:
        _check_one_split(source, at[again[owner[again] != owner[first]]])
        order = order[~np.isin(order, again)]
    return Survey(
        splits={name: _as_array(at[order[owner[order] == i]]) for name, i in names.items()},
        duplicates=frozenset() if grouped else frozenset(at[again].tolist()),
        unlabelled=_unlabelled(source, hashes),
        repeats=repeats.by_image(at, again, first) if grouped else NO_REPEATS,
    )


def _as_array(places: np.ndarray) -> Sequence[int]:
    """Return places as an array that is pickled in 4 bytes for each, if the input is smaller than 4 GB, else in 8."""
    made = array("I" if places.max(initial=0) < 2**32 else "q")
    made.frombytes(places.astype(made.typecode).data.cast("B"))
    return made


def _check_one_split(source: Source, apart: np.ndarray) -> None:
    """Raise UserError if any entry is in another split than the first entry of its image."""
    if len(apart):
        raise UserError(
            f"the input names the image {source.key(int(apart[0]))} several times, in different splits: give every row "
            "of an image the same split"
        )


def together(entries: Sequence[Labelled]) -> Labelled:
    """Return the image that several entries name, with the numbers of all entries, the largest first.

    Raises:
      Reject: `label` if an entry says that there is no number, `no-box` if one has no box, `duplicate-box` if two have
        the same box.
    """
    if len(entries) == 1:
        return entries[0]
    for entry in entries:
        if entry.shows_none:
            raise Reject("label", f"one of its {len(entries)} rows has no label: give each its label and box")
        if not entry.numbers:
            raise Reject("no-box", f"{entry.text!r}, one of its {len(entries)} rows, has no box: give each its box")
    return with_numbers(entries[0].key, entries[0].image, [number for entry in entries for number in entry.numbers])


def with_numbers(
    key: str, image: str | Image.Image, numbers: Sequence[Number], size: tuple[int, int] | None = None
) -> Labelled:
    """Return an image that shows numbers with corners in pixels, the largest first, or none.

    Raises:
      Reject: `duplicate-box` if two have the same corners.
    """
    if not numbers:
        return Labelled(key, image, "", shows_none=True, size=size)
    if len({number.corners for number in numbers}) < len(numbers):
        raise Reject("duplicate-box", "two of its numbers have the same box: list each number once")
    by_area = sorted(numbers, key=lambda number: -abs(box_corners.area(number.corners)))
    box = box_corners.box_around(by_area[0].corners)
    return Labelled(key, image, by_area[0].text, box, numbers=tuple(by_area), size=size)


def _unlabelled(source: Source, hashes: np.ndarray) -> int:
    if source.images is None:
        return 0
    folder, prefix = source.images
    below = listing.below(folder or ".", on_error=lambda _: None)
    paths = (file.path for file in below if file.path.lower().endswith(IMAGE_ENDINGS))
    names = (path[len(folder) :].lstrip("/") if folder else path.removeprefix("./") for path in paths)
    keys = (posixpath.join(prefix, name) for name in names)
    found = np.unique(np.fromiter(map(_hash, keys), np.uint64))
    return len(found) - int(np.isin(found, hashes).sum()) if len(found) else 0


def _hash(key: str) -> int:
    """Return a 64-bit hash: among a million keys, two collide with a probability of 3e-8."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


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
