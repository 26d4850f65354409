"""Files that are stored unchanged: even damaged ones, TensorFlow decodes to the same pixels as Pillow."""

import io
import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.data.images.test_image_io import encoded, png_chunk
from trainer.data.images import image_files, image_io, image_kinds
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline import preprocess

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DAMAGES = ("flip", "set", "delete", "insert", "marker", "cut")
MARKERS = [0, 0xD0, 0xD5, 0xD8, 0xD9, 0xDA, 0xC4, 0xFE, 0xE0]
EXTRAS = [b"", b"\0\0\0\1", b"\0", b"\1\1\1", b"abc", b"abcd", b"a\0b", b"a" * 32]
NAMES = [b"gAMA", b"sBIT", b"PLTE", b"QQQQ", b"qqQq", b"tEXt", b"iCCP", b"cHRM", b"tRNS", b"IDAT", b"IEND", b"acTL"]


def smooth(width: int, height: int, seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return Image.fromarray(small).resize((width, height))


def raw_png(draw: st.DrawFn) -> bytes:
    """Build a PNG that may have too few or too many pixels, an odd window, trailing bytes, or another chunk."""
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    depth, interlaced = draw(st.sampled_from([8, 16])), draw(st.integers(0, 1))
    noise = random.Random(draw(st.integers(0, 99)))
    rows = b""
    for across, down, left, top in image_files._ADAM7 if interlaced else ((1, 1, 0, 0),):
        columns = -(-(width - left) // across)
        if columns > 0:
            for _ in range(-(-(height - top) // down)):
                rows += bytes([noise.randrange(5)]) + noise.randbytes(columns * 3 * depth // 8)
    more = draw(st.sampled_from([0, 0, 0, 1, 4, -1, -4]))
    rows = rows + bytes(more) if more >= 0 else rows[:more]
    stream = zlib.compressobj(wbits=draw(st.sampled_from([9, 15])))
    compressed = stream.compress(rows) + stream.flush()
    compressed = compressed[: len(compressed) - draw(st.sampled_from([0, 0, 4]))] + draw(st.sampled_from([b"", b"x"]))
    extra = png_chunk(draw(st.sampled_from(NAMES)), draw(st.sampled_from(EXTRAS))) if draw(st.booleans()) else b""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, interlaced)
    cut = draw(st.integers(1, len(compressed)))
    pixels = png_chunk(b"IDAT", compressed[:cut]) + png_chunk(b"IDAT", compressed[cut:])
    return SIGNATURE + png_chunk(b"IHDR", header) + extra + pixels + png_chunk(b"IEND", b"")


def with_right_checksums(data: bytes) -> bytes:
    chunks = list(image_files._chunks(data))
    end = chunks[-1].start + 12 + len(chunks[-1].data) if chunks else len(SIGNATURE)
    return data[: len(SIGNATURE)] + b"".join(png_chunk(chunk.kind, chunk.data) for chunk in chunks) + data[end:]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw a small PNG or JPEG file, damaged at up to three places."""
    kind = draw(st.sampled_from(["PNG", "JPEG", "raw"]))
    if kind == "raw":
        return raw_png(draw)
    image = smooth(draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.integers(0, 9)))
    options: dict[str, object] = {"compress_level": draw(st.sampled_from([0, 1, 9]))}
    if kind == "JPEG":
        options = {
            "quality": draw(st.sampled_from([40, 80, 95])),
            "subsampling": draw(st.sampled_from(["4:4:4", "4:2:2", "4:2:0"])),
            "progressive": draw(st.booleans()),
            "restart_marker_blocks": draw(st.sampled_from([0, 2])),
        }
    data = bytearray(encoded(image, kind, **options))
    for damage in draw(st.lists(st.sampled_from(DAMAGES), max_size=3)):
        at = draw(st.one_of(st.integers(2, len(data) - 3), st.integers(max(2, len(data) - 60), len(data) - 3)))
        if damage == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif damage == "set":
            data[at] = draw(st.integers(0, 255))
        elif damage == "delete":
            del data[at : at + draw(st.integers(1, 4))]
        elif damage == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif damage == "marker":
            data[at : at + 2] = bytes(
                [0xFF, draw(st.sampled_from([0, 0xD0, 0xD5, 0xD8, 0xD9, 0xDA, 0xC4, 0xFE, 0xE0]))]
            )
        else:
            data[at:] = b"\xff\xd9" if kind == "JPEG" else png_chunk(b"IEND", b"")
        if len(data) < 12:
            break
    return with_right_checksums(bytes(data)) if kind == "PNG" and draw(st.booleans()) else bytes(data)


@settings(deadline=None, max_examples=400)
@given(files())
def test_tensorflow_decodes_what_is_kept_to_the_same_pixels(data: bytes) -> None:
    try:
        decoded = image_io.load(data)
    except image_kinds.UnreadableImage:
        return
    if decoded.file_type:
        assert decoded.data() == data
        np.testing.assert_array_equal(preprocess.decode(tf.constant(data)), np.asarray(decoded.image))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_sound_files_are_kept(kind: str) -> None:
    for size in ((1, 1), (3, 70), (40, 33)):
        kept: list[dict[str, Any]] = [{}, {"optimize": True}, {"dpi": (72, 72)}, {"icc_profile": bytes(300)}]
        for options in kept:
            assert image_io.load(encoded(smooth(*size, 1), kind, **options)).file_type == kind.lower()
    jpegs: list[dict[str, Any]] = [{"progressive": True}, {"subsampling": "4:4:4"}, {"restart_marker_rows": 1}]
    for options in [*jpegs, {"comment": b"none"}]:
        assert image_io.load(encoded(smooth(40, 33, 1), "JPEG", **options)).file_type == "jpeg"


def test_a_png_without_its_checksum_is_read_but_not_kept() -> None:
    image = smooth(30, 20, 1)
    rows = b"".join(b"\0" + image.crop((0, y, 30, y + 1)).tobytes() for y in range(20))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0))
    data = SIGNATURE + header + png_chunk(b"IDAT", zlib.compress(rows)[:-4]) + png_chunk(b"IEND", b"")
    decoded = image_io.load(data)
    assert decoded.image.tobytes() == image.tobytes()
    assert decoded.file_type is None
    kept = image_io.for_model(io.BytesIO(data), ModelInput(56, 96)).image
    np.testing.assert_array_equal(preprocess.decode(tf.constant(image_io.encode(kept, "bmp"))), np.asarray(image))
