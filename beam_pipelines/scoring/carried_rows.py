"""Carry over rows of earlier predictions, instead of reading their images again."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Generic, NamedTuple, TypeVar

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs import labelled
from beam_pipelines.scoring import flat_file, image_list, predictions
from beam_pipelines.scoring.image_list import Item
from beam_pipelines.scoring.predictions import KIND
from beam_pipelines.sharding import listing, outputs
from trainer.cli import UserError
from trainer.data.formats import prediction_rows
from trainer.data.formats.prediction_rows import DamagedRows

ROW: Final = "row"  # the kind of an item that is carried over: `path` is the shard of its row, `start` its place there


class _Row(NamedTuple):
    """A row of earlier predictions: its values, its shard, and its place in it."""

    key: str
    confidence: float
    path: str
    place: int


def replace(items: Iterable[Item], earlier: str, only_below: float) -> Iterator[Item]:
    """Yield the items; those that earlier predictions have read with enough confidence become rows to carry over.

    A file whose size or modification time has changed is read again.

    Args:
      items: sorted by key, as all rows are.
      earlier: a folder of predictions, or a file next to its folder.
      only_below: the confidence below which an image is read again.
    Raises:
      UserError: the earlier predictions are missing, not complete or damaged.
    """
    rows, files = _Sorted(_rows(earlier)), _Sorted(iter(_listed(earlier)))
    for item in items:
        row, before = rows.at(item.key), files.at(item.key)
        is_same = before is None or None in (before.file, item.file) or before.file == item.file
        if row and is_same and row.confidence >= only_below and not item.reject:
            yield item._replace(path=row.path, kind=ROW, start=row.place)
        else:
            yield item
    rows.finish()


One = TypeVar("One", _Row, Item)


class _Sorted(Generic[One]):
    """Finds keys, which must be ascending, in an iterator that is sorted by key."""

    def __init__(self, found: Iterator[One]) -> None:
        self._found: Iterator[One] = found
        self._next: One | None = next(found, None)

    def at(self, key: str) -> One | None:
        """Return the element with this key, None if there is none."""
        while self._next is not None and self._next.key < key:
            self._next = next(self._found, None)
        return self._next if self._next is not None and self._next.key == key else None

    def finish(self) -> None:
        """Read to the end, to check the rest."""
        for _ in self._found:
            pass


def _listed(earlier: str) -> Sequence[Item]:
    """Return the images of earlier predictions; none if a version wrote them that stored no list."""
    flat = flat_file.of(earlier)
    path = FileSystems.join(flat.folder if flat else earlier, image_list.IMAGES_FILE)
    try:
        return image_list.open_list(path) if listing.exists(path) else []
    except (OSError, BeamIOError, ValueError) as error:
        raise UserError(f"--resume-from {earlier}: {path} cannot be read ({error}): write it again") from error


def _rows(earlier: str) -> Iterator[_Row]:
    """Yield all rows.

    Raises:
      UserError: as `replace`.
    """
    before = ""
    for path, count in _shards(earlier):
        place = -1
        for place, row in enumerate(_read(path, earlier)):
            if row["key"] < before:
                raise UserError(f"--resume-from {earlier}: {path} is not sorted by key: write it again")
            before = row["key"]
            yield _Row(before, row["confidence"], path, place)
        if place + 1 != count:
            raise UserError(f"--resume-from {earlier}: {path} holds {place + 1} rows, expected {count}: write it again")


def rows_of(items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the items that are carried over, in their order.

    Raises:
      UserError: the earlier predictions have changed since `replace`.
    """
    carried = [item for item in items if item.kind == ROW]
    for path, group in groupby(carried, key=lambda item: item.path):
        wanted = {item.start: item.key for item in group}
        for place, row in enumerate(_read(path, posixpath.dirname(path))):
            if wanted.get(place) == row["key"]:
                del wanted[place]
                yield row
        if wanted:
            raise UserError(f"{path} has changed while it was read: run again once nothing else writes to it")


def _shards(earlier: str) -> list[tuple[str, int]]:
    """Return the path and the number of rows of each shard."""
    flat = flat_file.of(earlier)
    folder = flat.folder if flat else earlier
    if not outputs.is_complete(folder, KIND):
        raise UserError(f"--resume-from {earlier}: {folder} has no finished predictions: give those of an earlier run")
    try:
        shards = predictions.read_summary(folder)[1]["shards"]
        return [(FileSystems.join(folder, posixpath.basename(one["name"])), int(one["rows"])) for one in shards]
    except (OSError, BeamIOError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"--resume-from {earlier}: the summary in {folder} cannot be read ({error!r}): write it again"
        ) from error


def _read(path: str, earlier: str) -> Iterator[dict[str, Any]]:
    try:
        with labelled.local_file(path) as file:
            yield from prediction_rows.read(file, posixpath.basename(path))
    except (OSError, BeamIOError, DamagedRows) as error:
        raise UserError(f"--resume-from {earlier}: {path} cannot be read ({error}): write it again") from error
