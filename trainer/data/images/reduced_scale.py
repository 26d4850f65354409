"""Decode images at reduced scale, if their format supports it: JPEG and JPEG 2000."""

from typing import BinaryIO, cast

from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from trainer.data.images import image_kinds


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height before rotation; Pillow gives those of a TIFF after rotation until it is decoded."""
    if image.format != "TIFF":
        return image.size
    tags = cast(TiffImageFile, image).tag_v2
    return tags[IMAGEWIDTH], tags[IMAGELENGTH]


def reduced(image: Image.Image, factor: int) -> tuple[int, int]:
    """Request decoding at the smallest scale of at least 1 / `factor` that the format supports; return the size."""
    if image.format != "JPEG2000":
        image.draft(None, (image.width // factor, image.height // factor))  # JPEG decodes to 1/2, 1/4 and 1/8
        return stored_size(image)
    # Pillow rounds some sizes differently from the format, and then fails.
    halvings = max(
        n for n in range(factor.bit_length()) if all((s + (1 << n >> 1)) >> n == -(-s >> n) for s in image.size)
    )
    cast(Jpeg2KImageFile, image).reduce = halvings
    return -(-image.width >> halvings), -(-image.height >> halvings)


def loaded(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Decode an image; a JPEG 2000 without the requested scale is decoded at full size."""
    try:
        image.load()
        return image
    except OSError:
        if image.format != "JPEG2000":
            raise
    file.seek(0)
    image = image_kinds.open_image(file)
    image.load()
    return image
