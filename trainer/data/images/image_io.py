"""Decode image files of any kind to RGB as viewers display them, in the same way for all commands.

Pillow does all decoding: TensorFlow's decoder supports fewer formats, ignores orientation, transparency and CMYK, and
tolerates different damage.
"""

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from PIL import Image

from trainer.data.images import image_files, image_kinds, reduced_scale, tiff_rows
from trainer.data.images.image_kinds import UnreadableImage
from trainer.data.images.memory_budget import MemoryBudget
from trainer.data.images.model_input import ModelInput

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
_BAND = 1 << 20  # pixels converted at once
_DECODED_AT_ONCE = 256 << 20  # bytes, of all threads together; a larger image is decoded alone
_decoding = MemoryBudget(_DECODED_AT_ONCE)
_BYTES_PER_PIXEL = {"AVIF": 16, "HEIF": 16, "JPEG2000": 20, "WEBP": 16}  # while decoding
_OTHER_BYTES_PER_PIXEL, _PROGRESSIVE_BYTES_PER_PIXEL = 8, 6
_MOST_MENDED = 256 << 20  # bytes of a file that may be repaired
_TINY = 1024  # bytes; Pillow looks for the footer of a TGA before the start of a tiny file, which only disks refuse


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image file.

    Attributes:
      image: as viewers display it: orientation applied, transparent parts on white, RGB.
      file: the PNG or JPEG file, if it holds exactly these pixels; else None.
    """

    image: Image.Image
    file: BinaryIO | None = None

    @property
    def file_type(self) -> str | None:
        """`png` or `jpeg` if TensorFlow certainly decodes the file to these pixels, so that it can be kept as is."""
        return image_files.plain_type(self.data()) if self.file else None

    def data(self) -> bytes:
        """Return the bytes of the file."""
        assert self.file
        self.file.seek(0)
        return self.file.read()


def load(data: bytes) -> DecodedImage:
    """Decode the bytes of an image file, as `load_file` does."""
    return load_file(io.BytesIO(data))


def load_file(file: BinaryIO) -> DecodedImage:
    """Decode an image file of any kind in `image_kinds`; it must stay open as long as its bytes are needed.

    Raises:
      UnreadableImage: not such a file, damaged, or larger than the limit.
    """
    decoded = _decode(file)
    return DecodedImage(decoded.image, file if decoded.plain else None)


@dataclass(frozen=True)
class ShrunkImage:
    """An image for a model, and the width and height in pixels of the upright image that it was shrunk from."""

    image: Image.Image
    original: tuple[int, int]

    @property
    def factors(self) -> tuple[float, float]:
        """How many times wider and higher the original is."""
        return self.original[0] / self.image.width, self.original[1] / self.image.height


def for_model(file: BinaryIO, wanted: ModelInput, reserve: Callable[[int], None] = lambda _: None) -> ShrunkImage:
    """Decode an image file for a model: like `load`, but shrunk if it is far larger than what the model takes.

    Little more memory is used than the decoded pixels take; for JPEG, less.

    Args:
      file: the image.
      wanted: the model's input.
      reserve: called, before the pixels are decoded, with how many bytes the shrunk image takes; may block.
    Raises:
      UnreadableImage: as `load`.
    """
    decoded = _decode(file, wanted, reserve)
    return ShrunkImage(decoded.image, decoded.original)


def encode(image: Image.Image, file_type: str) -> bytes:
    """Encode as `png`, `jpeg` or `bmp`. PNG uses its fastest level: the best one takes twice as long to save 5 %.

    `bmp` takes almost no time, and all versions of TensorFlow decode it.
    """
    options = {"png": {"compress_level": 1}, "jpeg": {"quality": 95, "subsampling": 0}, "bmp": {}}
    buffer = io.BytesIO()
    image.save(buffer, file_type.upper(), **options[file_type])
    return buffer.getvalue()


class _Decoded(NamedTuple):
    """An image, its size before shrinking, and whether it is a PNG or JPEG whose pixels needed no change."""

    image: Image.Image
    original: tuple[int, int]
    plain: bool


def _decode(
    file: BinaryIO, wanted: ModelInput | None = None, reserve: Callable[[int], None] = lambda _: None
) -> _Decoded:
    file = _in_memory_if_tiny(file)
    try:
        return _decode_as_it_is(file, wanted, reserve)
    except UnreadableImage as error:
        if error.reason != "undecodable" or file.seek(0, io.SEEK_END) > _MOST_MENDED:
            raise
        file.seek(0)
        mended = image_files.mended(file.read())
        if mended is None:
            raise
    return _decode_as_it_is(io.BytesIO(mended), wanted, reserve)._replace(plain=False)


def _in_memory_if_tiny(file: BinaryIO) -> BinaryIO:
    try:
        tiny = file.seek(0, io.SEEK_END) <= _TINY
        file.seek(0)
        return io.BytesIO(file.read()) if tiny else file
    except OSError as error:
        raise image_kinds.undecodable(error) from error


def _decode_as_it_is(file: BinaryIO, wanted: ModelInput | None, reserve: Callable[[int], None]) -> _Decoded:
    image = image_kinds.open_image(file)
    try:
        # In a PNG, the orientation may come after the pixels.
        turn = None if image.format == "PNG" else _orientation(image)
        original = decoded = reduced_scale.stored_size(image)
        if wanted:
            decoded = reduced_scale.reduced(image, min(wanted.factors(*original, sideways=turn in _SIDEWAYS)))
            across, down = wanted.factors(*decoded, sideways=turn in _SIDEWAYS)
            reserve(3 * (decoded[0] // across) * (decoded[1] // down))
            if shrunk := _shrunk_tiff(image, file, (across, down), turn):
                return _Decoded(shrunk, _upright_size(original, turn), plain=False)
        with _decoding.room(_working_bytes(image, original, decoded)):
            image = reduced_scale.loaded(image, file)
            if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
                raise ValueError("32-bit pixels have no standard white level")
            turn = _orientation(image) if image.format == "PNG" else turn
            stored = image.im.size  # that of `image` would be wrong for a rotated TIFF
            factors = wanted.factors(*stored, sideways=turn in _SIDEWAYS) if wanted else (1, 1)
            rgb = image.mode == "RGB" and "transparency" not in image.info
            shrunk = image if rgb and factors == (1, 1) else _shrunk_rgb(stored, factors, _whole(image))
            plain = rgb and turn is None and image.format in ("PNG", "JPEG")
            return _Decoded(_upright(shrunk, turn), _upright_size(original, turn), plain)
    except Exception as error:  # Pillow's plug-ins may raise any exception type
        raise image_kinds.undecodable(error) from error


def _shrunk_tiff(
    image: Image.Image, file: BinaryIO, factors: tuple[int, int], turn: Image.Transpose | None
) -> Image.Image | None:
    """Return a large TIFF shrunk, without decoding all of it at once; None if that does not work."""
    if factors == (1, 1):
        return None
    try:
        rows = tiff_rows.of(image, file)
        if rows is None:
            return None
        with _decoding.room(rows.working_bytes):
            return _upright(_shrunk_rgb(rows.size, factors, rows.pieces), turn)
    except Exception:  # as above; decoding the whole image then reports what is wrong
        return None


def _upright(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _upright_size(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    return size[::-1] if turn in _SIDEWAYS else size


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Return how to rotate or flip the image upright, by EXIF or XMP; None if it is upright or the metadata is damaged.

    `ImageOps.exif_transpose` also writes the metadata back, which fails for malformed values.
    """
    try:
        exif = image.getexif()
        turn = _UPRIGHT.get(exif.get(ORIENTATION_TAG, 1))
    except Exception:  # as above
        return None
    for tag in list(exif):
        del exif[tag]  # otherwise Pillow rotates a TIFF by itself
    return turn


def _working_bytes(image: Image.Image, stored: tuple[int, int], decoded: tuple[int, int]) -> int:
    """Return roughly how many bytes it takes to decode and convert an image, given its stored and its decoded size."""
    coefficients = _PROGRESSIVE_BYTES_PER_PIXEL * math.prod(stored) if image.info.get("progressive") else 0
    return coefficients + math.prod(decoded) * _BYTES_PER_PIXEL.get(image.format or "", _OTHER_BYTES_PER_PIXEL)


_Pieces = Callable[[int, int], Iterable[tuple[int, Image.Image]]]  # of some rows: see `TiffRows.pieces`


def _whole(image: Image.Image) -> _Pieces:
    return lambda first, last: [(first, image.crop((0, first, image.im.size[0], last)))]


def _shrunk_rgb(size: tuple[int, int], factors: tuple[int, int], pieces: _Pieces) -> Image.Image:
    """Return an image of this size shrunk and in RGB, converted in bands to save memory for the copies it needs."""
    width, height = size[0] // factors[0], size[1] // factors[1]
    scale = size[1] / height
    shrunk = Image.new("RGB", (width, height))
    rows = max(1, int(_BAND / (size[0] * scale)))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = math.floor(top * scale), min(size[1], math.ceil(bottom * scale))
        band = Image.new("RGB", (size[0], last - first))
        for begin, piece in pieces(first, last):
            band.paste(_to_rgb(piece), (0, begin - first))
        area = (0, top * scale - first, size[0], min(bottom * scale, last) - first)
        shrunk.paste(band.resize((width, bottom - top), Image.Resampling.BOX, area), (0, top))
    return shrunk


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit values to 8 bits instead of scaling them.
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
