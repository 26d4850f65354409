"""`digitStruct.mat` (SVHN format 1, MATLAB v7.3, which is HDF5): pictures with labelled boxes, by their index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import h5py
import numpy as np

from beam_pipelines.hdf5 import CHARACTERS, DOUBLES, REFERENCES, Hdf5, UnknownLayout
from trainer.cli import UserError

FIELDS = ("label", "left", "top", "width", "height")
FORGET_EVERY = 64  # objects: following one may bring 64 KiB of the file into memory

T = TypeVar("T")


class DamagedEntry(ValueError):
    """An entry that is not laid out as MATLAB lays them out, or says what cannot be."""


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


class DigitStruct:
    """An open digitStruct file, whose entries are read when they are asked for.

    At once only their addresses are read: 16 bytes for each. What `Hdf5` does not recognise, h5py reads.

    Raises:
      UserError: it is no digitStruct.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        try:
            self._file = h5py.File(file, "r")
        except OSError as error:
            raise UserError(f"{path} cannot be read as a MATLAB v7.3 file ({error}): give a digitStruct.mat") from error
        if "digitStruct/name" not in self._file or "digitStruct/bbox" not in self._file:
            raise UserError(f"{path} has no digitStruct with name and bbox: give the digitStruct.mat of SVHN format 1")
        self._names, self._boxes = _Column(self._file["digitStruct/name"]), _Column(self._file["digitStruct/bbox"])
        if len(self._names) != len(self._boxes):
            raise UserError(f"{path} is damaged: {len(self._names)} names, but {len(self._boxes)} lists of boxes")
        try:
            self._hdf5: Hdf5 | None = Hdf5(file)
        except UnknownLayout:
            self._hdf5 = None
        self._reads = 0

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The file name of a picture.

        Raises:
          DamagedEntry: it cannot be read.
        """
        return self._read(self._name, self._name_by_h5py, index)

    def entry(self, index: int) -> Entry:
        """A picture with its digits.

        Raises:
          DamagedEntry: it cannot be read, or has a label that is no digit.
        """
        return Entry(self.name(index), self._read(self._digits, self._digits_by_h5py, index))

    def _read(self, ours: Callable[[Hdf5, int], T], by_h5py: Callable[[int], T], index: int) -> T:
        self._reads += 1
        if self._hdf5:
            if self._reads % FORGET_EVERY == 0:
                self._hdf5.forget()
            try:
                return ours(self._hdf5, index)
            except UnknownLayout:
                pass
        try:
            return by_h5py(index)
        except DamagedEntry:
            raise
        except Exception as error:  # h5py raises what it likes on damaged files
            raise DamagedEntry(f"entry {index + 1} is damaged: {error!r}") from error

    def _name(self, hdf5: Hdf5, index: int) -> str:
        kind, codes = hdf5.values(int(self._names.addresses[index]))
        if kind != CHARACTERS:
            raise UnknownLayout("the name is no text")
        return _text(codes)

    def _digits(self, hdf5: Hdf5, index: int) -> tuple[DigitBox, ...]:
        members = hdf5.members(int(self._boxes.addresses[index]))
        columns = []
        for field in FIELDS:
            if field not in members:
                raise UnknownLayout(f"the boxes have no {field}")
            kind, column = hdf5.values(members[field])
            # One digit's value is stored in place, several as references to a value each.
            columns.append([_double(hdf5, address) for address in column] if kind == REFERENCES else column)
            if kind == CHARACTERS:
                raise UnknownLayout(f"{field} is text")
        return _digits(columns)

    def _name_by_h5py(self, index: int) -> str:
        return _text(self._names.object(index)[()].ravel().tolist())

    def _digits_by_h5py(self, index: int) -> tuple[DigitBox, ...]:
        group = self._boxes.object(index)
        columns = [group[field][()].ravel().tolist() for field in FIELDS]
        return _digits(
            [
                [self._file[v][()].item() if isinstance(v, h5py.Reference) else float(v) for v in column]
                for column in columns
            ]
        )


class _Column:
    """The objects that a field of the struct array refers to; of an array of one, MATLAB stores the object itself."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        self._refers = isinstance(stored, h5py.Dataset) and h5py.check_ref_dtype(stored.dtype) is h5py.Reference
        if self._refers:
            self.addresses = np.zeros(stored.shape, "<u8")
            stored.id.read(h5py.h5s.ALL, h5py.h5s.ALL, self.addresses, stored.id.get_type())
            self.addresses = self.addresses.ravel()
        else:
            self.addresses = np.array([h5py.h5o.get_info(stored.id).addr], "<u8")

    def __len__(self) -> int:
        return len(self.addresses)

    def object(self, index: int) -> Any:
        if not self._refers:
            return self._stored
        return self._stored.file[self._stored[np.unravel_index(index, self._stored.shape)]]


def _double(hdf5: Hdf5, address: int) -> float:
    kind, values = hdf5.values(address)
    if kind != DOUBLES or len(values) != 1:
        raise UnknownLayout(f"the object at {address} is not one number")
    return values[0]


def _text(codes: Sequence[int]) -> str:
    try:
        return np.array(codes, "<u2").tobytes().decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise DamagedEntry(f"a name is no text: {error}") from error


def _digits(columns: Sequence[Sequence[float]]) -> tuple[DigitBox, ...]:
    if len({len(column) for column in columns}) > 1:
        raise DamagedEntry(f"it has {', '.join(str(len(column)) for column in columns)} values of {', '.join(FIELDS)}")
    digits = []
    for label, *box in zip(*columns, strict=True):
        if label not in range(11):
            raise DamagedEntry(f"a label is {label:g}, not 1 to 10, where 10 is zero")
        digits.append(DigitBox(int(label) % 10, *box))
    return tuple(digits)
