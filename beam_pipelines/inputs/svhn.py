"""Read the two formats of Street View House Numbers: photos with `digitStruct.mat`, and single digits, 32x32 pixels."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from apache_beam.io.filesystems import FileSystems
from PIL import Image

from beam_pipelines.inputs import images
from beam_pipelines.inputs.digit_struct import DamagedEntry, DigitStruct
from beam_pipelines.inputs.labelled import Labelled, local_file
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError
from trainer.data.formats.records import Number
from trainer.data.labels import box_corners, listed_names

LABELS_FILE = "digitStruct.mat"


@dataclass(frozen=True)
class Photos:
    """Format 1: a folder with `digitStruct.mat` and the images. A place is an index into the file.

    Attributes:
      folder: local or remote.
      written: modification time of the file, so that no process reads an older version that it still has open.
    """

    folder: str
    written: float
    name: str = "svhn"
    has_boxes: bool = True
    has_several: bool = False

    @property
    def images(self) -> tuple[str, str]:
        return self.folder, _last(self.folder)

    def entries(self) -> Iterator[tuple[int, str, None]]:
        """Yield the entries, reading only names; the boxes are 95 % of the file."""
        for place in range(len(self._file())):
            yield place, self.key(place), None

    def key(self, place: int) -> str:
        try:
            written = self._file().name(place)
        except DamagedEntry:
            written = f"entry-{place + 1}"
        return f"{_last(self.folder)}/{listed_names.inside(written) or written}"

    def read(self, place: int) -> Labelled:
        """Read an entry.

        Raises:
          Reject: `damaged-entry`; `outside-folder` if its name is outside the folder.
        """
        try:
            entry = self._file().entry(place)
        except DamagedEntry as error:
            raise Reject("damaged-entry", str(error)) from error
        name = listed_names.inside(entry.name)
        if name is None:
            raise Reject("outside-folder", f"entry {place + 1} names {entry.name!r}, which leads out of {self.folder}")
        boxes = tuple((d.left, d.top, d.left + d.width, d.top + d.height) for d in entry.digits)
        text, box = "".join(str(d.label) for d in entry.digits), images.union(boxes) if boxes else None
        return Labelled(
            key=f"{_last(self.folder)}/{name}",
            image=posixpath.join(self.folder, name),
            text=text,
            box=box,
            char_boxes=boxes,
            numbers=(Number(text, box_corners.of_box(box)),) if box else (),
        )

    def _file(self) -> DigitStruct:
        return _digit_struct(posixpath.join(self.folder, "digitStruct.mat"), self.written)


@dataclass(frozen=True)
class CroppedDigits:
    """Format 2: a `.mat` file of cropped digits. A place is an index into it.

    MATLAB compresses all images as one block, so a process holds them all: 3 KB per image.
    """

    path: str
    written: float
    count: int
    name: str = "cropped32"
    has_boxes: bool = False
    has_several: bool = False
    images: None = None

    def entries(self) -> Iterator[tuple[int, str, None]]:
        for place in range(self.count):
            yield place, self.key(place), None

    def key(self, place: int) -> str:
        """Return the key, which counts from 1, as MATLAB does."""
        return f"{_last(self.path).removesuffix('.mat')}/{place + 1}"

    def read(self, place: int) -> Labelled:
        """Read a digit.

        Raises:
          Reject: `label` if it is not from 1 to 10.
        """
        pixels, labels = _crops(self.path, self.written)
        if labels[place] not in range(11):
            raise Reject("label", f"the label is {labels[place]}, not 1 to 10 (10 means 0)")
        return Labelled(self.key(place), Image.fromarray(pixels[..., place]), str(int(labels[place]) % 10))


def open_photos(folder: str) -> Photos:
    """Open a folder of format 1.

    Raises:
      UserError: its `digitStruct.mat` is missing or invalid.
    """
    mat = posixpath.join(folder, "digitStruct.mat")
    if not listing.exists(mat):
        raise UserError(f"{folder} has no digitStruct.mat: give --input the folder that contains it and the images")
    source = Photos(folder, FileSystems.last_updated(mat))
    _digit_struct(mat, source.written)
    return source


def open_crops(path: str) -> CroppedDigits:
    """Open a file of format 2, and read its number of images.

    Raises:
      UserError: the file does not exist, or is not of format 2.
    """
    from scipy.io import whosmat

    if not listing.exists(path):
        raise UserError(f"{path} does not exist: give --input a .mat file of SVHN format 2, e.g. train_32x32.mat")
    try:
        with local_file(path) as file:
            arrays = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    except Exception as error:  # scipy may raise any exception type on other files
        raise UserError(f"{path} cannot be read as a MATLAB v5 file ({error}): give e.g. train_32x32.mat") from error
    count = arrays.get("X", ((0,), ""))[0][-1]
    if arrays.get("X") != ((32, 32, 3, count), "uint8") or arrays.get("y", ((), ""))[0] != (count, 1):
        raise UserError(f"{path} has {arrays}, not X of 32x32x3xN bytes and y of Nx1: it is not SVHN format 2")
    return CroppedDigits(path, FileSystems.last_updated(path), count)


# Each process keeps its last file open, since all shards of a run read the same one.
@lru_cache(maxsize=1)
def _digit_struct(path: str, _written: float) -> DigitStruct:
    return DigitStruct(local_file(path), path)


@lru_cache(maxsize=1)
def _crops(path: str, _written: float) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [32, 32, 3, N], and labels [N]."""
    from scipy.io import loadmat

    with local_file(path) as file:
        content = loadmat(file, variable_names=["X", "y"])
    return content["X"], content["y"][:, 0]


def _last(path: str) -> str:
    return posixpath.basename(path.rstrip("/"))
