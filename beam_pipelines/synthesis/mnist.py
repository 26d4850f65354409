"""Draw numbers of concatenated MNIST digits: the classic set of 28x140 images, blank to the right."""

import gzip
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beam_pipelines.synthesis.fonts import Drawn
from beam_pipelines.synthesis.texts import TextSource
from trainer.cli import UserError

SIDE = 28
MOST = 5  # maximum number of digits in an image


@dataclass(frozen=True)
class Mnist:
    """Draws image `index` of a seed from the digits of a folder with the four idx files, gzipped or not.

    Attributes:
      folder: where the files are.
      part: `train` or `t10k`, which have no digits in common.
    """

    seed: int
    texts: TextSource
    folder: str
    part: str

    def __call__(self, index: int) -> Drawn:
        rng = np.random.default_rng([self.seed, index])
        digits, of_label = read(self.folder, self.part)
        text = self.texts.draw(rng)
        canvas = np.zeros((SIDE, SIDE * MOST), np.uint8)
        for place, char in enumerate(text):
            chosen = of_label[int(char)]
            canvas[:, place * SIDE : (place + 1) * SIDE] = digits[chosen[rng.integers(len(chosen))]]
        boxes = tuple((float(i * SIDE), 0.0, float((i + 1) * SIDE), float(SIDE)) for i in range(len(text)))
        return Drawn(Image.fromarray(canvas).convert("RGB"), text, boxes)


@lru_cache(maxsize=2)
def read(folder: str, part: str) -> tuple[NDArray[np.uint8], list[NDArray[np.intp]]]:
    """Return the digits, uint8 [N, 28, 28], and for each of the ten labels the indices of its digits.

    Raises:
      UserError: a file is missing or is not an idx file, or the counts differ.
    """
    images = _read_idx(folder, f"{part}-images-idx3-ubyte", magic=2051)
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte", magic=2049)
    if len(images) != len(labels) or images.shape[1:] != (SIDE, SIDE):
        raise UserError(f"--mnist {folder}: {images.shape} images and {len(labels)} labels do not match")
    return images, [np.flatnonzero(labels == digit) for digit in range(10)]


def _read_idx(folder: str, name: str, *, magic: int) -> NDArray[np.uint8]:
    path = Path(folder) / f"{name}.gz"
    if not path.exists():
        path = Path(folder) / name
    if not path.exists():
        raise UserError(f"--mnist {folder}: {name} is missing, gzipped or not")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        shape = struct.unpack_from(f">{magic % 256}I", data, 4)
        if struct.unpack_from(">I", data)[0] != magic:
            raise ValueError(f"it begins with {data[:4]!r}")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise UserError(f"{path} is not an idx file ({error}): give the MNIST files as published") from error
