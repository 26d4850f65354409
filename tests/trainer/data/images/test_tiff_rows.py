"""Large TIFF files, which are decoded a few rows at a time: to the pixels that they have as a whole."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from trainer.data.images import image_io, image_kinds
from trainer.data.images.model_input import ModelInput

INPUT = ModelInput(16, 24)  # of a model: the images here are shrunk to it
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 30, 3), np.uint8)).resize((1301, 907))
ROW_BYTES = 3 * PHOTO.width


def encoded(image: Image.Image, kind: str = "TIFF", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def shrunk(data: bytes) -> image_io.ShrunkImage:
    return image_io.for_model(io.BytesIO(data), INPUT)


def check_same(tiff: bytes) -> None:
    """Compare with a PNG of the pixels that Pillow decodes at once."""
    with Image.open(io.BytesIO(tiff)) as image:
        image.load()
        png = encoded(image, "PNG") if image.mode != "CMYK" else encoded(image.convert("RGB"), "PNG")
    expected, found = shrunk(png), shrunk(tiff)
    assert found.original == expected.original
    np.testing.assert_array_equal(np.asarray(found.image), np.asarray(expected.image))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The size of each image that is opened."""
    sizes: list[tuple[int, int]] = []
    original = Image.open

    def opening(*args: Any, **options: Any) -> Image.Image:
        image = original(*args, **options)
        sizes.append(image.size)
        return image

    monkeypatch.setattr(Image, "open", opening)
    return sizes


@pytest.mark.parametrize(
    ("mode", "compression"),
    [("RGB", each) for each in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd")]
    + [(each, "tiff_lzw") for each in ("L", "RGBA", "CMYK", "P")]
    + [("L", None), ("CMYK", "jpeg")],
)
def test_the_pixels_are_those_of_the_whole_file(
    mode: str, compression: str | None, opened: list[tuple[int, int]]
) -> None:
    data = encoded(PHOTO.convert(mode), compression=compression, strip_size=40 * ROW_BYTES)
    check_same(data)
    assert all(height < PHOTO.height for _, height in opened[-2:])  # it was decoded in pieces


@pytest.mark.parametrize(
    "options",
    [{"big_tiff": True}, {"tiffinfo": {317: 2}}, {"strip_size": 1}, {"strip_size": 500 * ROW_BYTES}],
    ids=["BigTIFF", "predictor", "a row a strip", "three strips"],
)
def test_so_are_those_of_rarer_layouts(options: dict[str, Any]) -> None:
    check_same(encoded(PHOTO, compression="tiff_lzw", **options))


@pytest.mark.parametrize("byte_order", [b"II", b"MM"])
@pytest.mark.parametrize("compression", [1, 8])
def test_so_are_those_of_tiles(byte_order: bytes, compression: int, opened: list[tuple[int, int]]) -> None:
    width, height = 256, 128
    tiles = []
    for top in range(0, PHOTO.height, height):
        for left in range(0, PHOTO.width, width):
            tile = PHOTO.crop((left, top, left + width, top + height)).tobytes()
            tiles.append(zlib.compress(tile) if compression == 8 else tile)
    tags = ImageFileDirectory_v2(prefix=byte_order)
    rgb, sizes, starts = 2, tuple(map(len, tiles)), tuple(8 + sum(map(len, tiles[:i])) for i in range(len(tiles)))
    for tag, value in {256: PHOTO.width, 257: PHOTO.height, 258: (8, 8, 8), 259: compression, 262: rgb, 277: 3}.items():
        tags[tag] = value
    for tag, value in {322: width, 323: height, 324: starts, 325: sizes}.items():
        tags[tag] = value
    start = 8 + sum(sizes)
    head = byte_order + struct.pack("<HI" if byte_order == b"II" else ">HI", 42, start)
    check_same(head + b"".join(tiles) + tags.tobytes(start))
    assert all(height < PHOTO.height for _, height in opened[-2:])


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", [PHOTO.size, (90, 60)], ids=["large", "small"])
def test_a_rotated_one_keeps_all_its_pixels(size: tuple[int, int], mode: str, compression: str | None) -> None:
    stored = PHOTO.resize(size).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    expected = shrunk(encoded(stored.transpose(Image.Transpose.ROTATE_270), "PNG"))
    found = shrunk(encoded(stored, compression=compression, exif=exif))
    assert found.original == expected.original == size[::-1]
    assert found.image.size == expected.image.size
    assert np.abs(np.asarray(found.image, int) - np.asarray(expected.image, int)).max() <= 1  # rounded in another order
    whole = image_io.load(encoded(stored, compression=compression, exif=exif)).image
    turned = stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(np.asarray(whole), np.asarray(turned))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_damaged_one_is_rejected_as_when_decoded_whole(compression: str | None) -> None:
    data = bytearray(encoded(PHOTO, compression=compression))
    if compression:
        data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    else:
        del data[len(data) // 2 :]  # the tags come first
    with pytest.raises(image_kinds.UnreadableImage) as whole:
        image_io.load(bytes(data))
    with pytest.raises(image_kinds.UnreadableImage) as in_rows:
        shrunk(bytes(data))
    assert in_rows.value.detail == whole.value.detail


MEASURE = """
import sys
from trainer.data.images import image_io
from trainer.data.images.model_input import ModelInput

def megabytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith(name))

before = megabytes("VmRSS")
with open(sys.argv[1], "rb") as file:
    image_io.for_model(file, ModelInput(384, 384))
print(megabytes("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_60_megapixels_take_a_part_of_the_memory_of_their_pixels(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "large.tif"
    Image.new("RGB", (10000, 6000), "gray").save(path, compression=compression)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150  # 4 bytes a pixel would be 240 MB
