"""`digitStruct.mat` (SVHN format 1, MATLAB v7.3, which is HDF5): an iterator of pictures with labelled boxes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py

from trainer.cli import UserError

FIELDS = ("label", "left", "top", "width", "height")


@dataclass(frozen=True)
class DigitBox:
    """One digit: 0-9 (the file says 10 for 0), and its box in pixels, as the file has it, even where it is odd."""

    label: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Entry:
    """One picture: its file name, and its digits in the order of the file, which is that of reading."""

    name: str
    digits: tuple[DigitBox, ...]


def read(path: str) -> Iterator[Entry]:
    """Reads a digitStruct file, an entry at a time.

    Raises:
      UserError: there is no such file, or it is no digitStruct.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path} cannot be read as a MATLAB v7.3 file ({error}): give a digitStruct.mat") from error
    with file:
        if "digitStruct/name" not in file or "digitStruct/bbox" not in file:
            raise UserError(f"{path} has no digitStruct with name and bbox: give the digitStruct.mat of SVHN format 1")
        names, boxes = file["digitStruct/name"], file["digitStruct/bbox"]
        for name, box in zip(names[:, 0], boxes[:, 0], strict=True):
            group = file[box]
            columns = [_numbers(file, group[field]) for field in FIELDS]
            yield Entry(
                name="".join(map(chr, file[name][:, 0])),
                digits=tuple(DigitBox(int(row[0]) % 10, *row[1:]) for row in zip(*columns, strict=True)),
            )


def _numbers(file: h5py.File, dataset: Any) -> list[float]:
    """One digit's value is stored in place, several as references to a value each."""
    values = dataset[()]
    if len(values) == 1:
        return [float(values[0, 0])]
    return [float(file[reference][0, 0]) for reference in values[:, 0]]
