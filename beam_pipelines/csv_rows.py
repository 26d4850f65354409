"""Labelled pictures listed in a CSV file, read a row at a time from wherever it begins."""

import csv
import mmap
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from apache_beam.io.filesystems import FileSystems

from beam_pipelines import outputs
from beam_pipelines.shards import Reject
from beam_pipelines.sources import Labelled, local_file
from trainer.cli import UserError
from trainer.records import Box

BOX = ("left", "top", "width", "height")


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file. A place is the byte at which a row begins.

    Attributes:
      path: local or remote.
      written: when the file was, so that no process reads an earlier one that it still has open.
      folder: of the pictures.
      columns: the names in the first line.
    """

    path: str
    written: float
    folder: str
    columns: tuple[str, ...]
    name: str = "csv"

    @property
    def has_boxes(self) -> bool:
        return set(BOX) <= set(self.columns)

    @property
    def pictures(self) -> tuple[str, str]:
        return self.folder, posixpath.basename(posixpath.dirname(self.path))

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        rows = _rows(self.path, self.written)
        next(rows)
        for place, values in rows:
            if values:
                row = self._row(values)
                yield place, self._key(row), row.get("split") or None

    def key(self, place: int) -> str:
        return self._key(self._at(place))

    def read(self, place: int) -> Labelled:
        """Reads a row.

        Raises:
          Reject: `box-value` where a box is not four numbers.
        """
        row = self._at(place)
        return Labelled(self._key(row), posixpath.join(self.folder, row["file"]), row["label"].strip(), self._box(row))

    def _at(self, place: int) -> dict[str, str]:
        return self._row(next(_rows(self.path, self.written, place))[1])

    def _row(self, values: list[str]) -> dict[str, str]:
        """What a short line lacks is empty."""
        return dict(zip(self.columns, [*values, *[""] * len(self.columns)], strict=False))

    def _key(self, row: dict[str, str]) -> str:
        return posixpath.join(self.pictures[1], row["file"])

    def _box(self, row: dict[str, str]) -> Box | None:
        texts = [row[column].strip() for column in BOX] if self.has_boxes else []
        if not any(texts):
            return None
        try:
            left, top, width, height = map(float, texts)
        except ValueError as error:
            raise Reject("box-value", f"{','.join(BOX)} are {','.join(texts)}, not four numbers") from error
        return left, top, left + width, top + height


def open_csv(path: str, images_folder: str | None) -> CsvRows:
    """Opens a CSV file with the columns `file`, `label` and, where wanted, `split` and those of a box.

    Raises:
      UserError: there is no such file, it is no CSV in UTF-8, or a column is missing.
    """
    if not path.endswith(".csv"):
        path = posixpath.join(path, "labels.csv")
    if not FileSystems.exists(path):
        raise UserError(f"there is no {path}: give --input a CSV file, or a folder with labels.csv")
    folder = posixpath.dirname(path)
    if images_folder is None:
        beside = posixpath.join(folder, "images")
        images_folder = beside if outputs.holds_files(beside) else folder
    written = FileSystems.last_updated(path)
    _, columns = next(_rows(path, written), (0, []))
    missing = {"file", "label"} - set(columns)
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}: its first line must be file,label")
    boxes = set(BOX) & set(columns)
    if boxes and boxes != set(BOX):
        raise UserError(f"{path} has of the columns {','.join(BOX)} only {','.join(sorted(boxes))}: give all or none")
    return CsvRows(path, written, images_folder, tuple(columns))


def _rows(path: str, written: float, start: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The place and the values of the row that begins at a byte, and of all that follow."""
    data, position = _content(path, written), start

    def lines() -> Iterator[str]:
        nonlocal position
        while position < len(data):
            begin, position = position, (data.find(b"\n", position) + 1 or len(data))
            yield data[begin:position].decode("utf-8" if begin else "utf-8-sig")

    reader = csv.reader(lines())
    while True:
        place = position
        try:
            yield place, next(reader)
        except StopIteration:
            return
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} cannot be read at byte {place} ({error}): save it as CSV in UTF-8") from error


# Of a process the last file stays open, since the shards of a run all read the same.
@lru_cache(maxsize=1)
def _content(path: str, _written: float) -> mmap.mmap | bytes:
    with local_file(path) as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            return b""
