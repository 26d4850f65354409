"""Picture files of any kind to RGB, broken ones rejected by name; boxes in them."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems
from PIL import Image, ImageOps, UnidentifiedImageError

from beam_pipelines.shards import Reject
from trainer.records import Box

ORIENTATION_TAG = 0x0112
JPEG_END = b"\xff\xd9"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Picture:
    """A decoded picture file.

    Attributes:
      image: as people see it: EXIF orientation applied, transparent parts on white, RGB.
      file_type: `png` or `jpeg` where the file holds just that and can be kept as it is, else None.
    """

    image: Image.Image
    file_type: str | None


def read(path: str) -> bytes:
    """The bytes of a picture file, local or in an object store.

    Raises:
      Reject: `missing-picture` where there is none, `unreadable` where a local one cannot be read. What an object
        store still fails with after its client's own retries fails the shard, which the engine tries again.
    """
    try:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            return file.read()
    except Exception as error:  # each object store has exceptions of its own
        there = FileSystems.exists(path)
        if there and "://" in path:
            raise
        reason = "unreadable" if there else "missing-picture"
        raise Reject(reason, f"{path} cannot be read: {error}") from error


def decodable(data: bytes) -> bytes:
    """A file that the model decodes to the pixels of `load`: this one where its header promises that, else a PNG.

    TensorFlow's decoder knows nothing of orientation, transparency and CMYK, nor of most kinds of file.

    Raises:
      Reject: as `load`. Damage behind the header of a plain picture is not looked for.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
        end = {"PNG": PNG_END, "JPEG": JPEG_END}.get(image.format or "")
        if end and data.endswith(end) and image.mode == "RGB" and "transparency" not in image.info:
            # To look for EXIF in a PNG, Pillow would decode it all.
            turned = b"eXIf" in data if image.format == "PNG" else image.getexif().get(ORIENTATION_TAG, 1) != 1
            if not turned:
                return data
    except Exception:  # whatever it is, `load` names it
        pass
    return reencoded(data)


def reencoded(data: bytes) -> bytes:
    """A picture file as a PNG of the pixels of `load`.

    Raises:
      Reject: as `load`.
    """
    return encode(load(data).image, "png")


def load(data: bytes) -> Picture:
    """Decodes a picture file of any kind that Pillow reads.

    Raises:
      Reject: `undecodable` for no picture or a damaged one, `too-large` for a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(data))
            image.load()
        file_type = (image.format or "").lower()
        if image.mode == "F" or (image.mode == "I" and file_type not in ("png", "ppm")):
            raise ValueError("pixels of 32 bits have no agreed white")
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
        plain = image.mode == "RGB" and "transparency" not in image.info and orientation == 1
        if plain and _is_sound(data, file_type):
            return Picture(image, file_type)
        return Picture(_to_rgb(ImageOps.exif_transpose(image)), None)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Reject("too-large", str(error)) from error
    except UnidentifiedImageError as error:
        raise Reject("undecodable", "it begins like no kind of picture that is known") from error
    except Exception as error:  # Pillow's plug-ins raise what they like on damaged files
        raise Reject("undecodable", f"{type(error).__name__}: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16 bits to 8 where it should scale them.
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _is_sound(data: bytes, file_type: str) -> bool:
    """Whether TensorFlow decodes it, too: it refuses PNG and JPEG whose last bytes are missing or wrong."""
    if file_type == "jpeg":
        return data.endswith(JPEG_END)
    if file_type != "png" or not data.endswith(PNG_END):
        return False
    try:
        Image.open(io.BytesIO(data)).verify()  # the checksum of each chunk
    except Exception:  # as in load
        return False
    return True


def encode(image: Image.Image, file_type: str) -> bytes:
    """Encodes as `png` or `jpeg`. PNG at its fastest level: at the best one it takes twice the time for 5 % less."""
    buffer = io.BytesIO()
    if file_type == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def relative(box: Box, crop: Box) -> Box:
    """A box in the coordinates of a crop, 0-1, clipped to it."""
    width, height = crop[2] - crop[0], crop[3] - crop[1]

    def clip(value: float) -> float:
        return min(1.0, max(0.0, value))

    return (
        clip((box[0] - crop[0]) / width),
        clip((box[1] - crop[1]) / height),
        clip((box[2] - crop[0]) / width),
        clip((box[3] - crop[1]) / height),
    )
