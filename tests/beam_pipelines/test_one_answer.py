"""score, prepare and predict read the same pixels of the same bytes, or reject them for the same reason."""

import csv
import json
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from beam_pipelines import inspect, prepare, score
from beam_pipelines.inputs import images
from tests.conftest import ROOT
from tests.trainer.data.images.test_image_files import SIGNATURE
from tests.trainer.data.images.test_image_io import KINDS, NOISE, ODD, SMOOTH, XMP, encoded, exif, png_chunk
from trainer import predict
from trainer.cli import UserError
from trainer.config import experiments
from trainer.data.formats import dataset_info
from trainer.data.formats.output_names import PREDICTIONS
from trainer.data.images import image_io
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline import input_pipeline, preprocess
from trainer.files.local_file import open_regular

MODES = {
    "PNG": ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"],
    "JPEG": ["RGB", "L", "CMYK"],
    "MPO": ["RGB"],
    "GIF": ["P", "L"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": ["RGB", "RGBA", "L", "CMYK", "I;16", "1"],
    "BMP": ["RGB", "L", "P", "1"],
    "AVIF": ["RGB", "RGBA"],
    "JPEG2000": ["RGB", "RGBA", "L"],
    "PPM": ["RGB", "L", "I;16"],
    "TGA": ["RGB", "RGBA"],
    "ICO": ["RGB"],
    "QOI": ["RGB", "RGBA"],
}


def of_mode(mode: str, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), np.uint16))
    channels = Image.fromarray(rng.integers(0, 256, (height, width, 4), np.uint8))
    return (
        channels.convert("RGB").quantize(30)
        if mode == "P"
        else channels.convert("RGB" if mode == "CMYK" else mode).convert(mode)
    )


@st.composite
def image_files(draw: st.DrawFn) -> bytes:
    """Draw a file of some kind, mode, size and orientation, perhaps truncated."""
    kind = draw(st.sampled_from(sorted(MODES)))
    image = of_mode(draw(st.sampled_from(MODES[kind])), draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    options: dict[str, object] = dict(KINDS.get(kind, {}))
    if kind in ("PNG", "JPEG", "WEBP") and draw(st.booleans()):
        odd = draw(st.sampled_from(sorted(ODD)))
        options["exif"] = exif(ODD[odd], orientation=draw(st.integers(0, 9)))
    if kind == "JPEG":
        options |= {"progressive": draw(st.booleans()), "quality": draw(st.integers(30, 95))}
    if kind == "PNG" and image.mode == "P" and draw(st.booleans()):
        options["transparency"] = bytes(range(0, 240, 10))
    data = encoded(image, kind, **options)
    return data[: draw(st.sampled_from([len(data)] * 4 + [len(data) - 2, len(data) // 2]))]


def answers(data: bytes, path: Path) -> list[object]:
    """Return what each command makes of a file: pixels, or the reason of its reject."""
    path.write_bytes(data)
    found: list[object] = []
    try:
        decoded = images.load(data)  # as prepare
        kept = data if decoded.file_type else image_io.encode(decoded.image, "png")
        found.append(preprocess.decode(tf.constant(kept)).numpy())
    except Exception as error:
        found.append(error.reason)  # type: ignore[attr-defined]
    not_shrunk, *small = ModelInput(1000, 1000), ModelInput(1, 1), ModelInput(1, 1, letterboxed=True)
    for model in (not_shrunk, *small):
        for read in (images.for_model, image_io.for_model):  # as score, as predict
            try:
                with open_regular(str(path)) as file:
                    pixels = image_io.encode(read(file, model).image, "bmp")
                found.append(preprocess.decode(tf.constant(pixels)).numpy())
            except Exception as error:
                found.append(error.reason)  # type: ignore[attr-defined]
    return found


@settings(deadline=None, max_examples=300)
@given(data=image_files())
def test_the_same_bytes_give_the_same_pixels_or_reason(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    prepared, scored, predicted, *shrunk = answers(data, tmp_path_factory.getbasetemp() / "one")
    if isinstance(prepared, str):
        assert {prepared} == {scored, predicted, *shrunk}
        return
    for other in (scored, predicted):
        np.testing.assert_array_equal(prepared, other)
    assert not any(isinstance(one, str) for one in shrunk)


def corpus() -> dict[str, bytes]:
    """Files on which the commands once differed, and files that all of them reject."""
    plain, jpeg = encoded(SMOOTH, "PNG"), encoded(SMOOTH, "JPEG", quality=95)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP + " " * (2 << 20), zip=True)
    rows = b"".join(b"\0" + SMOOTH.crop((0, y, 90, y + 1)).tobytes() for y in range(60))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 60, 8, 2, 0, 0, 0))
    end = png_chunk(b"IEND", b"")
    return {
        "no-adler.png": SIGNATURE + header + png_chunk(b"IDAT", zlib.compress(rows)[:-4]) + end,
        "too-many.png": SIGNATURE + header + png_chunk(b"IDAT", zlib.compress(rows + bytes(99))) + end,
        "critical.png": plain[:33] + png_chunk(b"QQQQ", b"") + plain[33:],
        "no-end.jpg": jpeg[:-2],
        "tiny.tga": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 1, 1, 32, 8) + bytes([34, 228, 255, 121]),
        "marker.jpg": jpeg[:400] + b"\xff\xd8" + jpeg[400:],
        "xmp.png": encoded(SMOOTH, "PNG", pnginfo=text),
        "odd.jpg": encoded(SMOOTH, "JPEG", exif=exif(*ODD.values())),
        "odd.png": encoded(SMOOTH, "PNG", exif=exif(*ODD.values())),
        "one.avif": encoded(SMOOTH, "AVIF"),
        "one.jp2": encoded(SMOOTH, "JPEG2000"),
        "one.jfif": jpeg,
        "one.jpe": jpeg,
        "one.mpo": encoded(SMOOTH, "MPO", save_all=True, append_images=[NOISE]),
        "plain.png": plain,
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": plain[: len(plain) // 2],
        "float.tif": encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
        "large.png": encoded(Image.new("RGB", (1100, 1000)), "PNG"),
        "bomb.png": SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)) + end,
        "phone.heic": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100),
    }


REJECTED = {
    "marker.jpg": "undecodable",
    "cut.jpg": "undecodable",
    "cut.png": "undecodable",
    "float.tif": "undecodable",
    "large.png": "too-large",
    "bomb.png": "too-large",
    "phone.heic": "undecodable",
}
MEGAPIXELS = ["--max-megapixels", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("corpus")
    (top / "images").mkdir()
    for name, data in corpus().items():
        (top / "images" / name).write_bytes(data)
    with (top / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *((name, "1") for name in corpus())])
    return top


def test_the_commands_read_and_reject_the_same(
    folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = [str(folder / "images" / name) for name in corpus()]
    scored, prepared = tmp_path / "scored", tmp_path / "prepared"
    precise = [*MEGAPIXELS, "--precision", "float32"]
    assert score.main(["--model", str(tiny_model), "--input", *files, "--output", str(scored), *precise]) == 0
    rows = [json.loads(line) for path in scored.glob("predictions-*") for line in path.read_text().splitlines()]
    assert prepare.main(["--format", "csv", "--input", str(folder), "--output", str(prepared), *MEGAPIXELS]) == 0
    for file in (scored / PREDICTIONS.rejects, prepared / dataset_info.REJECTS_FILE):
        lines = map(json.loads, file.read_text().splitlines())
        assert {Path(row["key"]).name: row["reason"] for row in lines} == REJECTED
    capsys.readouterr()
    assert predict.main(["--model", str(tiny_model), *files, "--format", "json", *MEGAPIXELS]) == 2
    printed = capsys.readouterr()
    predicted = [json.loads(line) for line in printed.out.splitlines()]
    for row, other in zip(
        sorted(rows, key=lambda row: row["key"]), sorted(predicted, key=lambda row: row["key"]), strict=True
    ):
        assert row["key"] == other["key"]
        assert row["candidates"][0]["text"] == other["candidates"][0]["text"]
        assert row["confidence"] == pytest.approx(other["confidence"], rel=1e-4)
    assert {Path(row["key"]).name for row in rows} == corpus().keys() - REJECTED.keys()
    for name in REJECTED:
        assert sum(f"/{name} " in line for line in printed.err.splitlines()) == 1

    # All that prepare wrote can be trained on, and inspect finds nothing.
    loaded = input_pipeline.load([str(prepared)], "train", experiments.find("smoke"))
    assert len(loaded.keys) == len(rows)
    assert inspect.main([str(prepared), "--verify"]) == 0
    assert "the trainer may refuse" not in capsys.readouterr().out


def test_a_record_that_tensorflow_refuses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for name in ("no-adler.png", "plain.png"):
        (tmp_path / "images" / name).write_bytes(corpus()[name])
    (tmp_path / "labels.csv").write_text("file,label\nno-adler.png,1\nplain.png,2\n")
    with monkeypatch.context() as patched:  # as an older version wrote it
        patched.setattr(image_io.DecodedImage, "file_type", "png")
        assert prepare.main(["--format", "csv", "--input", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    with pytest.raises(UserError) as error:
        input_pipeline.load([str(tmp_path / "out")], "train", experiments.find("smoke"))
    assert "no-adler.png" in str(error.value)
    assert "run prepare again with --overwrite" in str(error.value)
    assert inspect.main([str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "1 image" in printed
    assert "no-adler.png" in printed

    args = ["--format", "csv", "--input", str(tmp_path), "--output", str(tmp_path / "out"), "--overwrite"]
    assert prepare.main(args) == 0
    assert len(input_pipeline.load([str(tmp_path / "out")], "train", experiments.find("smoke")).keys) == 2


@pytest.mark.slow
def test_large_photos_take_little_memory(tiny_model: Path, tmp_path: Path) -> None:
    photo = SMOOTH.resize((4000, 3000), Image.Resampling.BICUBIC)
    (tmp_path / "photos").mkdir()
    turned = encoded(photo, "JPEG", exif=exif(), quality=90)
    others = {
        "a.png": encoded(photo, "PNG", compress_level=1),
        "a.tif": encoded(photo, "TIFF"),
        "alpha.png": encoded(photo.convert("RGBA"), "PNG", compress_level=1),
        "progressive.jpg": encoded(photo, "JPEG", exif=exif(), progressive=True),
    }
    for i in range(40):
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(turned)
        for name, data in others.items():
            if i < 3:
                (tmp_path / "photos" / f"{i}-{name}").write_bytes(data)
    command = [sys.executable, "-m", "beam_pipelines.score", "--model", tiny_model, "--num-shards", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run(
        [*map(str, command), "--input", tmp_path / "photos", "--output", tmp_path / "out"], cwd=ROOT, check=True
    )
    rows = [line for path in (tmp_path / "out").glob("predictions-*") for line in path.read_text().splitlines()]
    assert len(rows) == 52
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest child so far, in KiB
    assert peak == before or peak < 1.5e6
