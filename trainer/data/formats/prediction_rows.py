"""Read the rows of predictions, in each format that `score` writes."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

Row = dict[str, Any]
NEEDED = ("key", "text", "candidates", "confidence")
TEXTS = frozenset({"key", "text", "found_as", "label", "model"})  # in CSV, all other columns are JSON
PARQUET_ROWS = 4096  # read at once


class DamagedRows(ValueError):
    """The file does not hold rows of predictions; the message says where."""


def read(file: BinaryIO, name: str) -> Iterator[Row]:
    """Yield the rows of a file of predictions; columns without a value are left out of a row.

    Args:
      file: JSON Lines, CSV or Parquet, by the ending of its name.
      name: of the file, e.g. `predictions-00000-of-00001.jsonl`.
    Raises:
      DamagedRows: the file is damaged, or is not a file of predictions.
    """
    number = 0
    try:
        for number, row in enumerate(_READERS[name.rpartition(".")[2].lower()](file), start=1):
            if missing := [column for column in NEEDED if column not in row]:
                raise DamagedRows(f"row {number} has no {missing[0]}")
            if not row["candidates"] or not 0 <= float(row["confidence"]) <= 1:
                raise DamagedRows(f"row {number} has no candidates, or a confidence that is not between 0 and 1")
            yield row
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, csv.Error) as error:  # also of pyarrow
        where = str(error) if isinstance(error, DamagedRows) else f"after row {number}: {error!r}"
        raise DamagedRows(where) from error


def is_image_file(row: Row) -> bool:
    """Return whether a row's key is the path of an image file: keys of records and archives are untrusted text."""
    found_as = row.get("found_as", "record" if row.get("label") is not None else "file")  # version 0.1.0 stored none
    return found_as == "file" and ("://" not in row["key"] or row["key"].startswith("gs://"))


def _json_lines(file: BinaryIO) -> Iterator[Row]:
    for line in file:
        yield dict(json.loads(line))


def _csv(file: BinaryIO) -> Iterator[Row]:
    csv.field_size_limit(1 << 24)  # sixty numbers with their boxes have more than 128 KiB
    for cells in csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""), strict=True):
        row = {column: cell if column in TEXTS else json.loads(cell or "null") for column, cell in cells.items()}
        yield {column: value for column, value in row.items() if value is not None and (value or column != "label")}


def _parquet(file: BinaryIO) -> Iterator[Row]:
    from pyarrow import parquet  # needs the extra `beam`

    for batch in parquet.ParquetFile(file).iter_batches(PARQUET_ROWS):
        for row in batch.to_pylist():
            yield {column: value for column, value in row.items() if value is not None}


_READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}
ENDINGS = tuple(_READERS)
