"""Read `digitStruct.mat` (SVHN format 1, MATLAB v7.3, i.e. HDF5): images with labelled boxes, by index."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import h5py
import numpy as np

from beam_pipelines.inputs.hdf5 import CHARACTERS, DOUBLES, MAX_VALUES, REFERENCES, Hdf5, UnknownLayout
from trainer.cli import UserError

FIELDS = ("label", "left", "top", "width", "height")
REFERENCE_BYTES = 8

T = TypeVar("T")


class DamagedEntry(ValueError):
    """An entry whose layout is not MATLAB's, or whose values are impossible."""


@dataclass(frozen=True)
class DigitBox:
    """One digit: 0-9 (stored as 10 for 0), and its box in pixels, as stored, even if implausible."""

    label: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Entry:
    """One image: its file name, and its digits in the order of the file, which is reading order."""

    name: str
    digits: tuple[DigitBox, ...]


class DigitStruct:
    """An open digitStruct file, whose entries are read on demand.

    Only their addresses are read when it is opened: 16 bytes for each. h5py reads what `Hdf5` does not recognise.

    Raises:
      UserError: it is not a digitStruct.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        try:
            self._file = h5py.File(file, "r")
            if "digitStruct/name" not in self._file or "digitStruct/bbox" not in self._file:
                raise UserError(
                    f"{path} has no digitStruct with name and bbox: give the digitStruct.mat of SVHN format 1"
                )
            # Each entry is a separate object, so the size of a file limits the number of its entries.
            limit = os.fstat(file.fileno()).st_size // REFERENCE_BYTES
            self._names = _Column(self._file["digitStruct/name"], limit)
            self._boxes = _Column(self._file["digitStruct/bbox"], limit)
        except UserError:
            raise
        except Exception as error:  # h5py may raise any exception type on damaged files
            said = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read as a MATLAB v7.3 file ({said}): give a digitStruct.mat") from error
        if len(self._names) != len(self._boxes):
            raise UserError(f"{path} is damaged: {len(self._names)} names, but {len(self._boxes)} lists of boxes")
        try:
            self._hdf5: Hdf5 | None = Hdf5(file)
        except UnknownLayout:
            self._hdf5 = None

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the file name of an image.

        Raises:
          DamagedEntry: it cannot be read.
        """
        return self._read(self._name, self._name_by_h5py, index)

    def entry(self, index: int) -> Entry:
        """Return an image with its digits.

        Raises:
          DamagedEntry: it cannot be read, or has a label that is not a digit.
        """
        return Entry(self.name(index), self._read(self._digits, self._digits_by_h5py, index))

    def _read(self, ours: Callable[[Hdf5, int], T], by_h5py: Callable[[int], T], index: int) -> T:
        if self._hdf5:
            try:
                return ours(self._hdf5, index)
            except UnknownLayout:
                pass
        try:
            return by_h5py(index)
        except DamagedEntry:
            raise
        except Exception as error:  # as above
            raise DamagedEntry(f"entry {index + 1} is damaged: {error!r}") from error

    def _name(self, hdf5: Hdf5, index: int) -> str:
        kind, codes = hdf5.values(self._names.address(index))
        if kind != CHARACTERS:
            raise UnknownLayout("the name is not text")
        return _text(codes)

    def _digits(self, hdf5: Hdf5, index: int) -> tuple[DigitBox, ...]:
        members = hdf5.members(self._boxes.address(index))
        columns = []
        for field in FIELDS:
            if field not in members:
                raise UnknownLayout(f"the boxes have no {field}")
            kind, column = hdf5.values(members[field])
            # The value of a single digit is stored in place, those of several as references to one value each.
            columns.append([_double(hdf5, address) for address in column] if kind == REFERENCES else column)
            if kind == CHARACTERS:
                raise UnknownLayout(f"{field} is text")
        return _digits(columns)

    def _name_by_h5py(self, index: int) -> str:
        return self._names.text(index)

    def _digits_by_h5py(self, index: int) -> tuple[DigitBox, ...]:
        group = self._boxes.object(index)
        columns = [_values(group[field]) for field in FIELDS]
        return _digits(
            [
                [float(self._file[v][()].item()) if isinstance(v, h5py.Reference) else float(v) for v in column]
                for column in columns
            ]
        )


class _Column:
    """The objects that a field of the struct array refers to; for an array of one, MATLAB stores the object itself.

    MATLAB stores a name as its character codes. Files written by h5py may have strings, each in its own object or all
    in one.

    Raises:
      UserError: there are more than `limit`.
    """

    def __init__(self, stored: Any, limit: int) -> None:
        self._stored, self._addresses = stored, None
        kind = getattr(stored, "dtype", None)  # a group has none
        self._refers = kind is not None and h5py.check_ref_dtype(kind) is h5py.Reference
        self._is_text = kind is not None and h5py.check_string_dtype(kind) is not None
        self._count = stored.size if self._refers or self._is_text else 1
        if self._count > limit:
            raise UserError(f"{stored.file.filename} is damaged: it claims {self._count:,} entries in {stored.name}")
        if self._refers:
            addresses = np.zeros(stored.shape, "<u8")
            stored.id.read(h5py.h5s.ALL, h5py.h5s.ALL, addresses, stored.id.get_type())
            self._addresses = addresses.ravel()
        elif not self._is_text:
            self._addresses = np.array([h5py.h5o.get_info(stored.id).addr], "<u8")

    def __len__(self) -> int:
        return self._count

    def address(self, index: int) -> int:
        """Return the address of the object. Raise `UnknownLayout` if it does not have its own."""
        if self._addresses is None:
            raise UnknownLayout("it is an element of an array of strings")
        return int(self._addresses[index])

    def object(self, index: int) -> Any:
        if not self._refers:
            return self._stored
        return self._stored.file[self._stored[self._spot(index)]]

    def text(self, index: int) -> str:
        """Read a name.

        Raises:
          DamagedEntry: it is not text.
        """
        if self._is_text:
            return str(self._stored.asstr()[self._spot(index)])
        named = self.object(index)
        if h5py.check_string_dtype(named.dtype):
            return "".join(np.ravel(named.asstr()[()]).tolist())
        return _text(_values(named))

    def _spot(self, index: int) -> tuple:
        return np.unravel_index(index, self._stored.shape)


def _values(stored: Any) -> list:
    """Read a small dataset, flat."""
    size = math.prod(stored.shape)
    if size > MAX_VALUES:
        raise DamagedEntry(f"it has a dataset of {size:,} values")
    return np.ravel(stored[()]).tolist()


def _double(hdf5: Hdf5, address: int) -> float:
    kind, values = hdf5.values(address)
    if kind != DOUBLES or len(values) != 1:
        raise UnknownLayout(f"the object at {address} is not one number")
    return values[0]


def _text(codes: Sequence[int]) -> str:
    try:
        return np.array(codes, "<u2").tobytes().decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise DamagedEntry(f"a name is not text: {error}") from error


def _digits(columns: Sequence[Sequence[float]]) -> tuple[DigitBox, ...]:
    if len({len(column) for column in columns}) > 1:
        raise DamagedEntry(f"it has {', '.join(str(len(column)) for column in columns)} values of {', '.join(FIELDS)}")
    digits = []
    for label, *box in zip(*columns, strict=True):
        if label not in range(11):
            raise DamagedEntry(f"a label is {label:g}, not 1 to 10 (10 means 0)")
        digits.append(DigitBox(int(label) % 10, *box))
    return tuple(digits)
