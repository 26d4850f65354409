"""Read labelled images listed in a CSV file, whose rows are read individually by byte offset."""

import csv
import itertools
import mmap
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs import image_folder, labelled
from beam_pipelines.inputs.image_folder import ImageFolder
from beam_pipelines.inputs.labelled import Labelled
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.formats.records import Number
from trainer.data.labels import box_columns, box_corners

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file. A place is the byte at which a row begins.

    Attributes:
      path: local or remote.
      written: modification time of the file, so that no process reads an older version that it still has open.
      list_folder: where the images are.
      columns: the names in the first line.
      box_columns: the columns that hold a box; empty if there are none.
      delimiter: between the values of a row.
    """

    path: str
    written: float
    list_folder: ImageFolder
    columns: tuple[str, ...]
    box_columns: tuple[str, ...] = ()
    delimiter: str = ","
    name: str = "csv"

    @property
    def has_boxes(self) -> bool:
        return bool(self.box_columns)

    @property
    def has_several(self) -> bool:
        return self.has_boxes

    @property
    def images(self) -> tuple[str, str]:
        return self.list_folder.folder, self.list_folder.prefix

    def entries(self) -> Iterator[tuple[int, str, str | None]]:
        """Yield the rows.

        Raises:
          UserError: the file is not CSV in UTF-8, or an unclosed quote contains the rows after it.
        """
        rows = _rows(self.path, self.written, self.delimiter)
        next(rows)
        for place, values in rows:
            if values:
                self._check_lines(place, values)
                row = self._row(values)
                yield place, self.list_folder.key(row["file"]), row.get("split", "").strip() or None

    def key(self, place: int) -> str:
        return self.list_folder.key(self._row(self._at(place))["file"])

    def read(self, place: int) -> Labelled:
        """Read a row.

        Raises:
          Reject: `csv-row` if the row has more values than the first line or names no file, `outside-folder` if the
            file is not in the folder of the images, `box-value` if a value of a box is not a number, `label` if there
            is a box without a label.
        """
        values = self._at(place)
        row, count = self._row(values), len(self.columns)
        if any(value.strip() for value in values[count:]):
            raise Reject("csv-row", f"it has {len(values)} values, but the first line names {count} columns: {values}")
        if not row["file"].strip():
            raise Reject("csv-row", f"it names no file: {values}")
        path, key, text = self.list_folder.path(row["file"]), self.list_folder.key(row["file"]), row["label"].strip()
        try:
            corners = box_columns.corners_in(row, self.box_columns)
        except ValueError as error:
            raise Reject("box-value", str(error)) from error
        if corners is None:
            return Labelled(key, path, text, shows_none=self.has_boxes and not text)
        if not text:
            raise Reject("label", "the label is empty, but there is a box: add the label, or remove the box")
        return Labelled(key, path, text, box_corners.box_around(corners), numbers=(Number(text, corners),))

    def _at(self, place: int) -> list[str]:
        return next(_rows(self.path, self.written, self.delimiter, place))[1]

    def _row(self, values: list[str]) -> dict[str, str]:
        """Return the values by column; those missing from a short line are empty."""
        return dict(zip(self.columns, [*values, *[""] * len(self.columns)], strict=False))

    def _check_lines(self, place: int, values: list[str]) -> None:
        """Raise UserError for a row that spans lines, unless the line breaks are in the name of an existing image."""
        several = {column for column, value in itertools.zip_longest(self.columns, values) if "\n" in (value or "")}
        folder, name = self.list_folder.folder, self.list_folder.inside(self._row(values)["file"])
        if not several or (several == {"file"} and name and listing.exists(posixpath.join(folder, name))):
            return
        line, lines = _line(self.path, self.written, place), sum(value.count("\n") for value in values)
        raise UserError(
            f"{self.path}, line {line}: a quote opened here is only closed on line {line + lines}: close it on the "
            "same line, or remove the line breaks from the value"
        )


def path_of(given: str) -> str:
    """Return the CSV file that --input names: the path itself, or labels.csv in a folder."""
    is_file = not os.path.isdir(given) and (given.lower().endswith(".csv") or os.path.isfile(given))
    return given if is_file else posixpath.join(given, "labels.csv")


def open_csv(path: str, images_folder: str | None) -> CsvRows:
    """Open a CSV file with the columns `file`, `label` and, optionally, `split` and those of a box.

    Raises:
      UserError: the file does not exist, is not CSV in UTF-8, lacks a column, or has two kinds of boxes.
    """
    path = path_of(path)
    if not listing.exists(path):
        raise UserError(f"{path} does not exist: give --input a CSV file, or a folder with labels.csv")
    list_folder = image_folder.of_list(path, images_folder)
    written = FileSystems.last_updated(path)
    columns, delimiter = _header(path, written)
    return CsvRows(path, written, list_folder, columns, box_columns.columns_of(columns, path), delimiter)


def _header(path: str, written: float) -> tuple[tuple[str, ...], str]:
    """Return the columns that the first line names, in lower case, and the delimiter.

    Raises:
      UserError: the column `file` or `label` is missing, or a column occurs twice.
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
    """Yield (end, line) for each line, starting at a byte.

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
