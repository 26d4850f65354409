"""Labelled images listed in a CSV file, whose rows can be read individually by byte offset."""

import csv
import itertools
import mmap
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs import labelled
from beam_pipelines.inputs.labelled import Labelled
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.records import Box

BOX = ("left", "top", "width", "height")
DELIMITERS = (",", ";", "\t")
IMAGES = "images"  # folder beside the CSV file


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file. A place is the byte at which a row begins.

    A name is relative to the folder of the images; a leading `images/` is dropped if that is the folder's name. A name
    that leads out of it, such as an absolute path or `..`, is rejected unless the user gave a folder that contains it.

    Attributes:
      path: local or remote.
      written: modification time of the file, so that no process reads an older version that it still has open.
      folder: of the images.
      columns: the names in the first line.
      delimiter: between the values of a row.
      drop: a prefix that names may have although it is the folder itself, e.g. `images/`, or empty.
      chosen: whether the user named the folder, and so allows every name that leads into it.
    """

    path: str
    written: float
    folder: str
    columns: tuple[str, ...]
    delimiter: str = ","
    drop: str = ""
    chosen: bool = False
    name: str = "csv"

    @property
    def has_boxes(self) -> bool:
        return set(BOX) <= set(self.columns)

    @property
    def images(self) -> tuple[str, str]:
        return self.folder, posixpath.basename(posixpath.dirname(self.path))

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the rows.

        Raises:
          UserError: the file is not CSV in UTF-8, or a quote swallows the rows after it.
        """
        rows = _rows(self.path, self.written, self.delimiter)
        next(rows)
        for place, values in rows:
            if values:
                self._check_lines(place, values)
                row = self._row(values)
                yield place, self._key(row), row.get("split", "").strip() or None

    def key(self, place: int) -> str:
        return self._key(self._row(self._at(place)))

    def read(self, place: int) -> Labelled:
        """Read a row.

        Raises:
          Reject: `csv-row` if the row has more values than the first line or names no file, `outside-folder` if the
            file is not in the folder of the images, `box-value` if a box is not four numbers.
        """
        values = self._at(place)
        row, count = self._row(values), len(self.columns)
        if any(value.strip() for value in values[count:]):
            raise Reject("csv-row", f"it has {len(values)} values, but the first line names {count} columns: {values}")
        if not row["file"].strip():
            raise Reject("csv-row", f"it names no file: {values}")
        name = self._inside(row["file"])
        if name is None:
            raise Reject(
                "outside-folder", f"{row['file']} leads out of {self.folder or '.'}: give a parent folder as --images"
            )
        return Labelled(self._key(row), posixpath.join(self.folder, name), row["label"].strip(), self._box(row))

    def _at(self, place: int) -> list[str]:
        return next(_rows(self.path, self.written, self.delimiter, place))[1]

    def _row(self, values: list[str]) -> dict[str, str]:
        """Return the values by column; those missing from a short line are empty."""
        return dict(zip(self.columns, [*values, *[""] * len(self.columns)], strict=False))

    def _key(self, row: dict[str, str]) -> str:
        name = self._inside(row["file"])
        return f"{self.images[1]}/{row['file']}" if name is None else posixpath.join(self.images[1], name)

    def _inside(self, written: str) -> str | None:
        """Return the canonical form of a name, relative to the folder; None if it leads out of the folder."""
        name = labelled.inside(written)
        if name is not None:
            return name.removeprefix(self.drop)
        path = written if listing.is_remote(written) else posixpath.join(posixpath.dirname(self.path), written)
        return labelled.below(self.folder, path) if self.chosen else None

    def _check_lines(self, place: int, values: list[str]) -> None:
        """Raise UserError for a row that spans lines, unless the name of an existing image has the line breaks."""
        several = {column for column, value in itertools.zip_longest(self.columns, values) if "\n" in (value or "")}
        name = self._inside(self._row(values)["file"])
        if not several or (several == {"file"} and name and FileSystems.exists(posixpath.join(self.folder, name))):
            return
        line, lines = _line(self.path, self.written, place), sum(value.count("\n") for value in values)
        raise UserError(
            f"{self.path}, line {line}: a quote opened here is only closed on line {line + lines}: close it on the "
            "same line, or remove the line breaks from the value"
        )

    def _box(self, row: dict[str, str]) -> Box | None:
        texts = [row[column].strip() for column in BOX] if self.has_boxes else []
        if not any(texts):
            return None
        try:
            left, top, width, height = map(float, texts)
        except ValueError as error:
            raise Reject("box-value", f"{','.join(BOX)} are {','.join(texts)}, not four numbers") from error
        return left, top, left + width, top + height


def path_of(given: str) -> str:
    """Return the CSV file that --input names: the path itself, or labels.csv in a folder."""
    is_file = not os.path.isdir(given) and (given.lower().endswith(".csv") or os.path.isfile(given))
    return given if is_file else posixpath.join(given, "labels.csv")


def open_csv(path: str, images_folder: str | None) -> CsvRows:
    """Open a CSV file with the columns `file`, `label` and, optionally, `split` and those of a box.

    Raises:
      UserError: the file does not exist, is not CSV in UTF-8, or lacks a column.
    """
    path = path_of(path)
    if not FileSystems.exists(path):
        raise UserError(f"{path} does not exist: give --input a CSV file, or a folder with labels.csv")
    chosen, folder = images_folder is not None, images_folder
    if folder is None:
        folder = posixpath.dirname(path)
        beside = posixpath.join(folder, IMAGES)
        folder = beside if _holds_files(beside) else folder
    last = posixpath.basename(folder.rstrip("/"))
    drop = f"{last}/" if last and not _holds_files(posixpath.join(folder, last)) else ""
    written = FileSystems.last_updated(path)
    columns, delimiter = _header(path, written)
    return CsvRows(path, written, folder, columns, delimiter, drop, chosen)


def _holds_files(folder: str) -> bool:
    """Return whether there are files anywhere below a folder."""
    return next(listing.below(folder, on_error=lambda _: None), None) is not None


def _header(path: str, written: float) -> tuple[tuple[str, ...], str]:
    """Return the columns that the first line names, in lower case, and the delimiter.

    Raises:
      UserError: the column `file` or `label` is missing, a column occurs twice, or those of a box are incomplete.
    """
    line = next(_lines(path, written, 0), (0, ""))[1]
    headers = {d: tuple(name.strip().lower() for name in next(csv.reader([line], delimiter=d), [])) for d in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda d: len({"file", "label"} & set(headers[d])))
    columns = headers[delimiter]
    missing = {"file", "label"} - set(columns)
    if missing:
        begins = f"begins {line.strip()[:60]!r}" if line.strip() else "has no first line"
        raise UserError(
            f"{path} {begins}, so it has no column {', '.join(sorted(missing))}: its first line must be file,label"
        )
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise UserError(f"{path} has the column {', '.join(twice)} more than once: name each only once")
    boxes = set(BOX) & set(columns)
    if boxes and boxes != set(BOX):
        raise UserError(f"{path} has, of the columns {','.join(BOX)}, only {','.join(sorted(boxes))}: give all or none")
    return columns, delimiter


def _rows(path: str, written: float, delimiter: str, start: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the place and the values of the row that begins at a byte, and of all following rows.

    Raises:
      UserError: a row cannot be read.
    """
    position = start

    def lines() -> Iterator[str]:
        nonlocal position
        for end, line in _lines(path, written, start):
            position = end
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        place = position
        try:
            yield place, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}, line {_line(path, written, place)}: the row that begins here cannot be read ({error}): "
                "close its quotes on the same line, and double a quote within a quoted value"
            ) from error


def _lines(path: str, written: float, start: int) -> Iterator[tuple[int, str]]:
    """Yield (end, line) for each line from a byte on.

    Raises:
      UserError: it is not text in UTF-8.
    """
    data, position = _content(path, written), start
    while position < len(data):
        begin, position = position, (data.find(b"\n", position) + 1 or len(data))
        try:
            line = data[begin:position].decode("utf-8" if begin else "utf-8-sig")
            if "\0" in line:
                raise ValueError("it contains a NUL byte")
        except ValueError as error:
            where = f"{path}, line {_line(path, written, begin)}"
            raise UserError(f"{where} cannot be read ({error}): save it as CSV in UTF-8") from error
        yield position, line


def _line(path: str, written: float, place: int) -> int:
    """Return the number, from 1, of the line that begins at a byte."""
    return _content(path, written)[:place].count(b"\n") + 1


# Each process keeps its last file open, since all shards of a run read the same one.
@lru_cache(maxsize=1)
def _content(path: str, written: float) -> mmap.mmap | bytes:
    with labelled.private_copy(path, written) as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            return b""
