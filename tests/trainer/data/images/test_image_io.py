"""Image files of every kind to upright RGB: orientation, metadata, truncation."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from trainer.data.images import image_io, image_kinds

RNG = np.random.default_rng(0)
SMOOTH = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), np.uint8)).resize((90, 60))
NOISE = Image.fromarray(RNG.integers(0, 256, (40, 60, 3), np.uint8))
TURNED = SMOOTH.transpose(Image.Transpose.ROTATE_270)  # what Orientation 6 asks for
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(*entries: tuple[int, int, int, bytes], orientation: int | None = 6) -> bytes:
    """An EXIF block, little endian, with entries of (tag, type, count, value), and Orientation 6."""
    if orientation is not None:
        entries = (*entries, (0x0112, 3, 1, struct.pack("<HH", orientation, 0)))
    after = 8 + 2 + 12 * len(entries) + 4
    directory, values = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in sorted(entries):
        if len(value) > 4:
            directory += struct.pack("<HHII", tag, kind, count, after + len(values))
            values += value
        else:
            directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + bytes(4) + values


def reject(data: bytes) -> image_kinds.UnreadableImage:
    with pytest.raises(image_kinds.UnreadableImage) as caught:
        image_io.load(data)
    return caught.value


def similar(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and np.abs(np.asarray(one, int) - np.asarray(other.convert("RGB"), int)).mean() < 6


def test_all_that_pillow_reads_is_an_image_and_nothing_else() -> None:
    listed = set(image_kinds.IMAGE_ENDINGS)
    assert {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".avif",
        ".jp2",
        ".webp",
        ".tif",
        ".bmp",
        ".gif",
    } <= listed
    assert {".heic", ".heif"} <= listed
    assert not listed & {
        ".pdf",
        ".mpg",
        ".mpeg",
        ".eps",
        ".ps",
        ".h5",
        ".hdf",
        ".txt",
        ".csv",
        ".json",
        ".wmf",
        ".palm",
    }


KINDS: dict[str, dict[str, object]] = {
    "PNG": {},
    "JPEG": {"quality": 95},
    "MPO": {"quality": 95},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 95},
}


@pytest.mark.parametrize("kind", KINDS)
def test_orientation_of_exif_is_found_in_every_kind(kind: str) -> None:
    options = {"save_all": True, "append_images": [SMOOTH]} if kind == "MPO" else {}
    made = Image.Exif()
    made[0x0112] = 6
    assert similar(image_io.load(encoded(SMOOTH, kind, exif=made, **KINDS[kind], **options)).image, TURNED)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_is_turned_once_and_its_odd_tags_do_no_harm(compression: str | None) -> None:
    for orientation in range(1, 9):
        tags = {0x0112: orientation, 700: XMP.encode()}
        data = encoded(SMOOTH, "TIFF", tiffinfo=tags, compression=compression)
        expected = SMOOTH if orientation == 1 else SMOOTH.transpose(image_io._UPRIGHT[orientation])
        assert similar(image_io.load(data).image, expected)


def test_orientation_of_xmp_and_of_raw_profiles_is_found() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP)
    raw = PngImagePlugin.PngInfo()
    raw.add_text("Raw profile type exif", f"\nexif\n{len(exif()):8d}\n{exif().hex()}\n", zip=True)
    for data in (
        encoded(SMOOTH, "JPEG", xmp=XMP.encode(), quality=95),
        encoded(SMOOTH, "WEBP", xmp=XMP.encode(), lossless=True),
        encoded(SMOOTH, "PNG", pnginfo=text),
        encoded(SMOOTH, "PNG", pnginfo=raw),
    ):
        assert similar(image_io.load(data).image, TURNED)


ODD = {
    "SRATIONAL of -1/0": (0x9204, 10, 1, struct.pack("<ii", -1, 0)),
    "negative LONG": (0x0100, 4, 1, struct.pack("<i", -5)),
    "make as double": (0x010F, 12, 1, struct.pack("<d", 1.5)),
    "type that does not exist": (0x010F, 77, 1, b"abcd"),
    "a directory that is none": (0x8769, 4, 1, struct.pack("<I", 0xFFFFFF)),
    "text that is none": (0x010E, 2, 4, b"\xff\xfe\xfd\xfc"),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("odd", ODD)
def test_odd_values_beside_the_orientation_do_no_harm(odd: str, kind: str) -> None:
    assert similar(image_io.load(encoded(SMOOTH, kind, exif=exif(ODD[odd]), **KINDS[kind])).image, TURNED)


@pytest.mark.parametrize(
    "orientation",
    [
        (3, 1, b"\0\0"),
        (3, 1, b"\x09\0"),
        (2, 2, b"6\0"),
        (2, 4, b"abcd"),
        (11, 1, struct.pack("<f", 9.5)),
    ],
)
def test_an_orientation_that_is_none_turns_nothing(orientation: tuple[int, int, bytes]) -> None:
    data = encoded(SMOOTH, "JPEG", quality=95, exif=exif((0x0112, *orientation), orientation=None))
    assert similar(image_io.load(data).image, SMOOTH)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_exif_never_rejects(data: st.DataObject) -> None:
    block = bytearray(exif(*ODD.values()))
    for _ in range(data.draw(st.integers(0, 3))):
        block[data.draw(st.integers(6, len(block) - 1))] = data.draw(st.integers(0, 255))
    block = block[: data.draw(st.integers(6, len(block)))]
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    assert sorted(image_io.load(encoded(SMOOTH, kind, exif=bytes(block), **KINDS[kind])).image.size) == [60, 90]


def png_chunk(name: bytes, data: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ wrong)


@pytest.mark.parametrize("megabytes", [2, 40])
@pytest.mark.parametrize("behind", [False, True])
def test_metadata_of_any_size_does_not_reject(megabytes: int, behind: bool) -> None:
    big = zlib.compress(bytes(megabytes << 20))
    plain = encoded(SMOOTH, "PNG")
    at = len(plain) - 12 if behind else 33
    for chunk in (
        png_chunk(b"iCCP", b"profile\0\0" + big),
        png_chunk(b"zTXt", b"comment\0\0" + big),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + big),
    ):
        assert similar(image_io.load(plain[:at] + chunk + plain[at:]).image, SMOOTH)


def test_damaged_metadata_does_not_reject() -> None:
    plain = encoded(SMOOTH, "PNG")
    for chunk in (png_chunk(b"tEXt", b"a\0b", wrong=1), png_chunk(b"zTXt", b"a\0\0damaged"), png_chunk(b"pHYs", b"\0")):
        assert similar(image_io.load(plain[:33] + chunk + plain[33:]).image, SMOOTH)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("restarts", [0, 3])
def test_a_jpeg_that_lacks_its_end_marker_is_read_and_one_that_lacks_more_is_not(
    progressive: bool, subsampling: str, restarts: int
) -> None:
    options = {"subsampling": subsampling, "progressive": progressive, "restart_marker_blocks": restarts}
    whole = encoded(NOISE, "JPEG", quality=90, **options)
    expected = image_io.load(whole).image
    for cut in (1, 2):
        found = image_io.load(whole[:-cut])
        assert found.image == expected
        assert found.file_type is None
    for length in [*range(20, len(whole) - 4, 41), *range(len(whole) - 12, len(whole) - 3)]:
        assert reject(whole[:length]).reason == "undecodable"


def test_a_jpeg_that_lacks_whole_scans_is_not_read() -> None:
    whole = encoded(NOISE, "JPEG", quality=90, progressive=True)
    starts = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    assert len(starts) > 5
    for start in starts[1:]:
        assert reject(whole[:start]).reason == "undecodable"


TRUNCATED = [
    "PNG",
    "JPEG",
    "GIF",
    "WEBP",
    "TIFF",
    "BMP",
    "AVIF",
    "JPEG2000",
    "TGA",
    "PPM",
    "QOI",
    "PCX",
    "SGI",
    "DDS",
    "ICO",
]


@pytest.mark.parametrize("kind", TRUNCATED)
def test_truncated_files_of_every_kind_are_rejected_by_name(kind: str) -> None:
    whole = encoded(NOISE, kind)
    image_io.load(whole)
    for share in (0.02, 0.3, 0.6, 0.9):
        assert reject(whole[: int(len(whole) * share)]).reason == "undecodable", share


def test_heic_is_told_by_its_content() -> None:
    data = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100)
    error = reject(data)
    assert error.reason == "undecodable"
    assert image_kinds.HEIF_INSTALLED or "pip install 'svhn-sequences[heif]'" in error.detail


def test_heic_is_read_where_pillow_heif_is_installed() -> None:
    pytest.importorskip("pillow_heif")
    assert similar(image_io.load(encoded(SMOOTH, "HEIF", quality=95)).image, SMOOTH)
