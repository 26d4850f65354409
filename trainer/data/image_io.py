"""Image files of any kind to the RGB that people see, for all commands alike.

Only Pillow decodes: TensorFlow's decoder knows fewer kinds of files and nothing of orientation, transparency and CMYK,
and forgives other damage.
"""

import io
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from trainer.data import image_files, image_kinds
from trainer.data.image_kinds import UnreadableImage

ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
# An image for a model is shrunk by whole factors to no less than so many times the sides of the model's input. With 6,
# confidences of photos of 12 megapixels move by 0.006 at most and no text changes.
ROOM = 6
_BAND = 1 << 20  # pixels converted at once
_DECODED_AT_ONCE = 256 << 20  # bytes, of all threads together; a single larger image is decoded alone
_BYTES_PER_PIXEL = {"AVIF": 16, "HEIF": 16, "JPEG2000": 20, "WEBP": 16}  # while decoding
_OTHER_BYTES_PER_PIXEL, _PROGRESSIVE_BYTES_PER_PIXEL = 8, 6
_MOST_MENDED = 256 << 20  # bytes of a file


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file.

    Attributes:
      image: as people see it: orientation applied, transparent parts on white, RGB.
      file: it holds just that, as PNG or JPEG; or None.
    """

    image: Image.Image
    file: BinaryIO | None = None

    @property
    def file_type(self) -> str | None:
        """`png` or `jpeg` where TensorFlow surely decodes the file to these pixels, so that it can be kept as it is."""
        return image_files.plain_type(self.data()) if self.file else None

    def data(self) -> bytes:
        """The bytes of the file."""
        assert self.file
        self.file.seek(0)
        return self.file.read()


def load(data: bytes) -> DecodedImage:
    """`load_file` of bytes."""
    return load_file(io.BytesIO(data))


def load_file(file: BinaryIO) -> DecodedImage:
    """Decode an image file of any kind in `image_kinds`; it must stay open as long as the bytes are of interest.

    Raises:
      Unreadable: not such a file, damaged, or larger than the limit.
    """
    image, plain = _decode(file, None)
    return DecodedImage(image, file if plain else None)


def for_model(file: BinaryIO, size: tuple[int, int]) -> Image.Image:
    """Decode an image file for a model whose input is of this height and width: as `load`, but shrunk where far larger.

    At no time is much more in memory than the decoded pixels, of JPEG not even those.

    Raises:
      Unreadable: as `load`.
    """
    return _decode(file, size)[0]


def most_bytes(size: tuple[int, int]) -> int:
    """The most bytes that an image of `for_model` has."""
    return 3 * (2 * ROOM) ** 2 * size[0] * size[1]


def encode(image: Image.Image, file_type: str) -> bytes:
    """Encode as `png`, `jpeg` or `bmp`. PNG at its fastest level: at the best one it takes twice the time for 5 % less.

    `bmp` costs next to nothing and all of TensorFlow's versions decode it.
    """
    options = {"png": {"compress_level": 1}, "jpeg": {"quality": 95, "subsampling": 0}, "bmp": {}}
    buffer = io.BytesIO()
    image.save(buffer, file_type.upper(), **options[file_type])
    return buffer.getvalue()


def _decode(file: BinaryIO, size: tuple[int, int] | None) -> tuple[Image.Image, bool]:
    """An image, and whether it is a PNG or JPEG whose pixels needed no change."""
    try:
        return _decode_as_it_is(file, size)
    except UnreadableImage as error:
        if error.reason != "undecodable" or file.seek(0, io.SEEK_END) > _MOST_MENDED:
            raise
        file.seek(0)
        mended = image_files.mended(file.read())
        if mended is None:
            raise
    return _decode_as_it_is(io.BytesIO(mended), size)[0], False


def _decode_as_it_is(file: BinaryIO, size: tuple[int, int] | None) -> tuple[Image.Image, bool]:
    image = image_kinds.open_image(file)
    try:
        # In a PNG, orientation may come behind the pixels.
        turn = None if image.format == "PNG" else _orientation(image)
        pixels = image.width * image.height
        if size:
            factor = min(_factors(image.size, size, turn))
            image.draft(None, (image.width // factor, image.height // factor))  # JPEG decodes to 1/2, 1/4 and 1/8
        with _decoding.room(_working_bytes(image, pixels)):
            image.load()
            if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
                raise ValueError("pixels of 32 bits have no agreed white")
            turn = _orientation(image) if image.format == "PNG" else turn
            factors = _factors(image.size, size, turn) if size else (1, 1)
            plain = image.mode == "RGB" and "transparency" not in image.info and turn is None
            rgb = _shrunk_rgb(image, factors)
            return (rgb if turn is None else rgb.transpose(turn)), plain and image.format in ("PNG", "JPEG")
    except Exception as error:  # Pillow's plug-ins may raise any exception type
        raise image_kinds.undecodable(error) from error


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn the image upright, by EXIF or XMP; damaged metadata says nothing.

    `ImageOps.exif_transpose` also writes the metadata back, which fails where a value is odd.
    """
    try:
        exif = image.getexif()
        turn = _UPRIGHT.get(exif.get(ORIENTATION_TAG, 1))
    except Exception:  # as above
        return None
    for tag in list(exif):
        del exif[tag]  # or Pillow turns a TIFF by itself
    return turn


def _factors(size: tuple[int, int], model: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    """By what to shrink the width and the height of a file's image for a model's input of this height and width."""
    height, width = model if turn not in _SIDEWAYS else model[::-1]
    return max(1, size[0] // (ROOM * width)), max(1, size[1] // (ROOM * height))


def _working_bytes(image: Image.Image, pixels: int) -> int:
    """About how much memory it takes to decode an image, of so many pixels in the file, and to convert it."""
    coefficients = _PROGRESSIVE_BYTES_PER_PIXEL * pixels if image.info.get("progressive") else 0
    return coefficients + image.width * image.height * _BYTES_PER_PIXEL.get(image.format or "", _OTHER_BYTES_PER_PIXEL)


def _shrunk_rgb(image: Image.Image, factors: tuple[int, int]) -> Image.Image:
    """The image in RGB, shrunk, a band of rows at a time, since conversions take several copies."""
    if image.mode == "RGB" and factors == (1, 1) and "transparency" not in image.info:
        return image
    width, height = image.width // factors[0], image.height // factors[1]
    scale = image.height / height
    whole = Image.new("RGB", (width, height))
    rows = max(1, int(_BAND / (image.width * scale)))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = math.floor(top * scale), min(image.height, math.ceil(bottom * scale))
        band = _to_rgb(image.crop((0, first, image.width, last)))
        area = (0, top * scale - first, image.width, min(bottom * scale, last) - first)
        whole.paste(band.resize((width, bottom - top), Image.Resampling.BOX, area), (0, top))
    return whole


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 where it should scale them.
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


class _Room:
    """So many bytes for all threads together."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def room(self, wanted: int) -> Iterator[None]:
        """Wait until so many are free, and hold them; all, where more are wanted."""
        held = min(wanted, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()


_decoding = _Room(_DECODED_AT_ONCE)
