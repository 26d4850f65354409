"""The two formats of Street View House Numbers: photos with `digitStruct.mat`, and single digits of 32x32 pixels."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from apache_beam.io.filesystems import FileSystems
from PIL import Image

from beam_pipelines.inputs import images, labelled
from beam_pipelines.inputs.digit_struct import DamagedEntry, DigitStruct
from beam_pipelines.inputs.labelled import Labelled, local_file
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError

LABELS_FILE = "digitStruct.mat"


@dataclass(frozen=True)
class Photos:
    """Format 1: a folder with `digitStruct.mat` and the images. A place is an index into the file.

    Attributes:
      folder: local or remote.
      written: when the file was, so that no process reads an earlier one that it still has open.
    """

    folder: str
    written: float
    name: str = "svhn"
    has_boxes: bool = True

    @property
    def images(self) -> tuple[str, str]:
        return self.folder, _last(self.folder)

    def entries(self) -> Iterator[tuple[int, str, None]]:
        """Reads the names only; their boxes are nineteen parts in twenty of the file."""
        for place in range(len(self._file())):
            yield place, self.key(place), None

    def key(self, place: int) -> str:
        try:
            written = self._file().name(place)
        except DamagedEntry:
            written = f"entry-{place + 1}"
        return f"{_last(self.folder)}/{labelled.inside(written) or written}"

    def read(self, place: int) -> Labelled:
        """Reads an entry.

        Raises:
          Reject: `damaged-entry`; `outside-folder` where its name leads out of the folder.
        """
        try:
            entry = self._file().entry(place)
        except DamagedEntry as error:
            raise Reject("damaged-entry", str(error)) from error
        name = labelled.inside(entry.name)
        if name is None:
            raise Reject("outside-folder", f"entry {place + 1} names {entry.name!r}, which leads out of {self.folder}")
        boxes = tuple((d.left, d.top, d.left + d.width, d.top + d.height) for d in entry.digits)
        return Labelled(
            key=f"{_last(self.folder)}/{name}",
            image=posixpath.join(self.folder, name),
            text="".join(str(d.label) for d in entry.digits),
            box=images.union(boxes) if boxes else None,
            char_boxes=boxes,
        )

    def _file(self) -> DigitStruct:
        return _digit_struct(posixpath.join(self.folder, "digitStruct.mat"), self.written)


@dataclass(frozen=True)
class CroppedDigits:
    """Format 2: a `.mat` file of cropped digits. A place is an index into it.

    MATLAB compresses all images as one piece, so a process holds them all: 3 KB an image.
    """

    path: str
    written: float
    count: int
    name: str = "cropped32"
    has_boxes: bool = False
    images: None = None

    def entries(self) -> Iterator[tuple[int, str, None]]:
        for place in range(self.count):
            yield place, self.key(place), None

    def key(self, place: int) -> str:
        """Counts from 1, as MATLAB does."""
        return f"{_last(self.path).removesuffix('.mat')}/{place + 1}"

    def read(self, place: int) -> Labelled:
        """Cuts one out.

        Raises:
          Reject: `label` where it is none of 1 to 10.
        """
        pixels, labels = _crops(self.path, self.written)
        if labels[place] not in range(11):
            raise Reject("label", f"the label is {labels[place]}, not 1 to 10, where 10 is zero")
        return Labelled(self.key(place), Image.fromarray(pixels[..., place]), str(int(labels[place]) % 10))


def open_photos(folder: str) -> Photos:
    """Opens a folder of format 1.

    Raises:
      UserError: it has no `digitStruct.mat`, or that is none.
    """
    mat = posixpath.join(folder, "digitStruct.mat")
    if not FileSystems.exists(mat):
        raise UserError(f"{folder} has no digitStruct.mat: give --input the folder that holds it and the images")
    source = Photos(folder, FileSystems.last_updated(mat))
    _digit_struct(mat, source.written)
    return source


def open_crops(path: str) -> CroppedDigits:
    """Opens a file of format 2, and reads how many images it has.

    Raises:
      UserError: there is no such file, or it is none.
    """
    from scipy.io import whosmat

    if not FileSystems.exists(path):
        raise UserError(f"there is no {path}: give --input a .mat file of SVHN format 2, e.g. train_32x32.mat")
    try:
        with local_file(path) as file:
            found = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    except Exception as error:  # scipy raises what it likes on other files
        raise UserError(f"{path} cannot be read as a MATLAB v5 file ({error}): give train_32x32.mat or so") from error
    count = found.get("X", ((0,), ""))[0][-1]
    if found.get("X") != ((32, 32, 3, count), "uint8") or found.get("y", ((), ""))[0] != (count, 1):
        raise UserError(f"{path} has {found}, not X of 32x32x3xN bytes and y of Nx1: it is not SVHN format 2")
    return CroppedDigits(path, FileSystems.last_updated(path), count)


# Of a process the last file stays open, since the shards of a run all read the same.
@lru_cache(maxsize=1)
def _digit_struct(path: str, _written: float) -> DigitStruct:
    return DigitStruct(local_file(path), path)


@lru_cache(maxsize=1)
def _crops(path: str, _written: float) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 [32, 32, 3, N], and labels [N]."""
    from scipy.io import loadmat

    with local_file(path) as file:
        content = loadmat(file, variable_names=["X", "y"])
    return content["X"], content["y"][:, 0]


def _last(path: str) -> str:
    return posixpath.basename(path.rstrip("/"))
