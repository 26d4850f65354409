"""A corpus of odd images: each is read or named in the rejects, and none affects another."""

import io
import json
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from beam_pipelines import score
from beam_pipelines.inputs import images
from tests.beam_pipelines.inputs.test_images import encoded
from trainer.data.formats.output_names import PREDICTIONS
from trainer.data.images import image_io
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline import preprocess

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
READ = ""  # instead of a reason


def for_model(data: bytes) -> bytes:
    """Return what the model receives if its input is so large that nothing is shrunk."""
    return image_io.encode(images.for_model(io.BytesIO(data), ModelInput(1000, 1000)).image, "bmp")


def truncated() -> dict[str, tuple[bytes, str]]:
    """Truncate a file at many places, including its last bytes."""
    found = {}
    for file_format, shares in (("PNG", 12), ("JPEG", 12), ("GIF", 6), ("BMP", 6), ("WEBP", 6), ("TIFF", 4)):
        data = encoded(NOISE, file_format)
        for i in range(shares):
            cut = data[: 1 + (len(data) - 2) * i // shares]
            found[f"cut-{i}.{file_format.lower()}"] = (cut, "undecodable")
    return found


def flipped() -> dict[str, tuple[bytes, str]]:
    """Return a PNG whose pixels do not match their checksum, with valid first and last chunks."""
    data = bytearray(encoded(NOISE, "PNG"))
    data[len(data) // 2] ^= 1
    return {"flipped.png": (bytes(data), "undecodable")}


def raw_png(width: int, height: int, bits: int = 8, pixels: bytes = bytes(10_000)) -> bytes:
    """Return an RGB PNG that claims this size, whatever pixels it has."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def no_images() -> dict[str, tuple[bytes, str]]:
    contents = {
        "empty": b"",
        "newline": b"\n",
        "text": b"I am not an image",
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
        "archive": b"PK\x03\x04" + bytes(100),
        "document": b"%PDF-1.7\n" + bytes(100),
        "program": b"\x7fELF" + bytes(100),
        "zeros": bytes(5000),
        "noise": random.Random(0).randbytes(5000),
        "signature": b"\x89PNG\r\n\x1a\n",
        "jfif": b"\xff\xd8\xff\xe0\x00\x10JFIF",
        "vector": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    return {f"{name}.png": (data, "undecodable") for name, data in contents.items()}


def unusual() -> dict[str, tuple[bytes, str]]:
    """Images of kinds that people have, which must be read."""
    grey16 = Image.fromarray(np.full((30, 40), 40_000, np.uint16))
    rgb16 = b"".join(b"\0" + random.Random(row).randbytes(6 * 20) for row in range(10))
    frames = [NOISE, NOISE.rotate(180)]
    return {
        name: (data, READ)
        for name, data in {
            "1x1.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
            "1x500.jpg": encoded(Image.new("RGB", (1, 500)), "JPEG"),
            "900x2.bmp": encoded(Image.new("RGB", (900, 2)), "BMP"),
            "grey16.png": encoded(grey16, "PNG"),
            "rgb16.png": raw_png(20, 10, 16, rgb16),
            "grey16.tiff": encoded(grey16, "TIFF"),
            "grey.jpg": encoded(NOISE.convert("L"), "JPEG"),
            "ink.jpg": encoded(NOISE.convert("CMYK"), "JPEG"),
            "ink.tiff": encoded(NOISE.convert("CMYK"), "TIFF"),
            "palette.png": encoded(NOISE.quantize(16), "PNG"),
            "palette.bmp": encoded(NOISE.quantize(16), "BMP"),
            "bits.png": encoded(NOISE.convert("1"), "PNG"),
            "alpha.png": encoded(NOISE.convert("RGBA"), "PNG"),
            "alpha.webp": encoded(NOISE.convert("RGBA"), "WEBP"),
            "lossy.webp": encoded(NOISE, "WEBP"),
            "progressive.jpg": encoded(NOISE, "JPEG", progressive=True),
            "animated.gif": encoded(NOISE, "GIF", save_all=True, append_images=frames),
            "animated.webp": encoded(NOISE, "WEBP", save_all=True, append_images=frames),
            "animated.png": encoded(NOISE, "PNG", save_all=True, append_images=frames),
            "trailing.jpg": encoded(NOISE, "JPEG") + b"trailing",
            "jpeg-named.png": encoded(NOISE, "JPEG"),
            "png-named.jpg": encoded(NOISE, "PNG"),
            "webp-named.gif": encoded(NOISE, "WEBP"),
        }.items()
    }


NAMES = [
    "a b.png",
    "a\nb.png",
    "a\tb.png",
    "数字.png",
    "Ünïcödé.png",
    "[1].png",
    "*.png",
    "%41.png",
    "-x.png",
    "'\".png",
]
CORPUS = {
    **truncated(),
    **flipped(),
    **no_images(),
    **unusual(),
    "huge.png": (raw_png(100_000, 100_000), "too-large"),
    "wide.png": (raw_png(2**31 - 1, 1), "too-large"),
    "hollow.png": (raw_png(3000, 3000), "undecodable"),
    **dict.fromkeys(NAMES, (encoded(NOISE, "PNG"), READ)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("corpus")
    for name, (data, _) in CORPUS.items():
        (top / name).write_bytes(data)
    (top / "dangling.png").symlink_to(top / "nowhere.png")
    Path(os.fsdecode(os.fsencode(top) + b"/\xff.png")).write_bytes(encoded(NOISE, "PNG"))
    return top


@pytest.mark.parametrize("batch_size", ["16", "200"])
def test_every_image_is_read_or_named(folder: Path, tiny_model: Path, tmp_path: Path, batch_size: str) -> None:
    out = tmp_path / "out"
    args = ["--model", str(tiny_model), "--input", str(folder), "--output", str(out), "--num-shards", "3"]
    assert score.main([*args, "--batch-size", batch_size]) == 0
    top = f"{folder}/"
    lines = (out / PREDICTIONS.rejects).read_text().splitlines()
    found = {row["key"].removeprefix(top): row["reason"] for row in map(json.loads, lines)}
    for path in out.glob("predictions-*"):
        for line in path.read_text().splitlines():
            key = json.loads(line)["key"].removeprefix(top)
            assert key not in found
            found[key] = READ
    wanted = {name: reason for name, (_, reason) in CORPUS.items()}
    assert found == {**wanted, "dangling.png": "missing-picture", "\\xff.png": READ}
    assert sum(reason != READ for reason in found.values()) >= 60


@pytest.mark.parametrize("name", sorted(unusual()))
def test_what_the_model_gets_has_the_pixels_that_people_see(name: str) -> None:
    data = unusual()[name][0]
    decoded = preprocess.decode(tf.constant(for_model(data)))
    np.testing.assert_array_equal(decoded, np.asarray(images.load(data).image))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF"])
def test_tensorflow_and_pillow_decode_alike(file_format: str) -> None:
    data = encoded(NOISE, file_format)
    decoded = preprocess.decode(tf.constant(data))
    np.testing.assert_array_equal(decoded, np.asarray(images.load(data).image))
    np.testing.assert_array_equal(decoded, preprocess.decode(tf.constant(for_model(data))))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_turned_images_are_turned_back(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(NOISE, file_format, exif=exif)
    decoded = preprocess.decode(tf.constant(for_model(data)))
    np.testing.assert_array_equal(decoded, np.asarray(images.load(data).image))
    assert not np.array_equal(decoded, preprocess.decode(tf.constant(data)))
