"""The Python interface: `from trainer import Reader`."""

import dataclasses
import io
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import trainer
from beam_pipelines import draw, score
from tests.conftest import ROOT
from trainer import Reader, Reading, evaluate, predict
from trainer.data.images.image_kinds import UnreadableImage
from trainer.inference.evaluating import folder_evaluation
from trainer.inference.evaluating.folder_evaluation import Judged


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader("released-fast")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("drawn")
    assert draw.main(["--count", "5", "--seed", "2", "--output", str(folder)]) == 0
    return sorted((folder / "images").iterdir())


def test_an_image_of_any_kind_is_read_alike(reader: Reader, images: list[Path]) -> None:
    path = images[0]
    image = Image.open(path)
    kinds: list[Any] = [path, str(path), path.read_bytes(), image, np.asarray(image), image.convert("RGBA")]
    readings = [reader.read(kind) for kind in kinds]
    assert readings[0].text.isdecimal()
    [number] = readings[0].numbers
    assert (number.text, number.confidence, number.box) == (readings[0].text, readings[0].confidence, None)
    assert number.candidates == readings[0].candidates
    assert all(reading == readings[0] for reading in readings)


def test_a_file_is_not_read_as_a_whole_before_its_header(reader: Reader, tmp_path: Path) -> None:
    """As prepare and score do: a file may be of any size."""
    path = tmp_path / "1.png"
    path.write_bytes(b"no image")
    os.truncate(path, 1 << 40)
    with pytest.raises(UnreadableImage, match="match no supported image format"):
        reader.read(path)


def test_a_turned_image_is_read_upright(reader: Reader, images: list[Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.open(images[1]).transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    turned = Image.open(io.BytesIO(file.getvalue()))
    assert reader.read(file.getvalue()) == reader.read(turned) == reader.read(images[1])


def test_a_work_folder_is_read_with_its_best_checkpoint(
    tiny_model: Path, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tiny_model.parent / "run"
    assert Reader(workdir).read(images[0]) == Reader(tiny_model, engine="tensorflow").read(images[0])
    assert predict.main(["--model", str(workdir), "--format", "json", str(images[0])]) == 0
    row = json.loads(capsys.readouterr().out)
    assert len(row["characters"]) == len(row["candidates"][0]["text"])
    assert all(0 < probability <= 1 for probability in row["characters"])
    args = ["--model", str(workdir), "--input", str(images[0]), "--output", str(tmp_path / "out")]
    assert score.main(args) == 2
    assert f"is a work folder: export its model with trainer.export --workdir {workdir}" in capsys.readouterr().err


def test_many_images_are_read_in_order_and_by_threads(reader: Reader, images: list[Path]) -> None:
    alone = [reader.read(path) for path in images]
    together = list(reader.read_all(iter(images), batch_size=2))
    assert [reading.text for reading in together] == [reading.text for reading in alone]
    assert [reading.source for reading in together] == images
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(reader.read, images)) == alone


def test_the_answer_is_that_of_predict(reader: Reader, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(images[2]), "--model", "released-fast", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    reading = reader.read(images[2])
    assert (reading.confidence, list(reading.candidates)) == (
        row["confidence"],
        [candidate["text"] for candidate in row["candidates"]],
    )


def test_numbers_in_photos_have_boxes_and_are_framed(tmp_path: Path) -> None:
    assert draw.main(["--count", "4", "--scene-size", "320", "--seed", "3", "--output", str(tmp_path)]) == 0
    reader = Reader("released-photos", candidates=2)
    for reading in reader.read_all(sorted((tmp_path / "images").iterdir())):
        assert len(reading.candidates) <= 2
        assert all(number.box and len(number.box) == 8 for number in reading.numbers)
        assert json.loads(json.dumps(reading.to_dict()))["text"] == reading.text
        assert reading.draw().width >= 100
        assert "data:image/png;base64," in reading._repr_html_()


def test_the_page_about_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw.main(["--count", "2", "--scene-size", "200", "--output", str(tmp_path / "drawn")]) == 0
    (tmp_path / "drawn" / "images").rename(tmp_path / "photos")
    Image.open(tmp_path / "photos" / "0-000000.png").save(tmp_path / "photo.jpg")
    (tmp_path / "my-photos").mkdir()
    Image.open(tmp_path / "photo.jpg").save(tmp_path / "my-photos" / "12_a.png")
    (tmp_path / "my-photos" / "labels.csv").write_text("file,label,split\n12_a.png,12,validation\n")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text()
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)), {})
    assert (tmp_path / "read.png").exists()
    assert "photos/0-000001.png" in capsys.readouterr().out


def test_a_reading_prints_without_its_image_and_cannot_be_changed(images: list[Path]) -> None:
    reading = Reading("12", 0.5, ("12",), (), images[0])
    assert str(images[0]) not in repr(reading)
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.text = "13"  # type: ignore[misc]
    assert reading.draw().size > (0, 0)


def test_what_is_no_image_is_named(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("no image")
    with pytest.raises(UnreadableImage, match=r"note\.png.*: "):
        reader.read(tmp_path / "note.png")
    with pytest.raises(trainer.UserError, match=r"s3://bucket/1\.png"):
        reader.read("s3://bucket/1.png")
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        reader.read(tmp_path / "missing.png")
    with pytest.raises(TypeError, match="int is not an image"):
        reader.read(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"float64 \[9, 9\]"):
        reader.read(np.zeros((9, 9)))  # type: ignore[arg-type]


def test_a_model_that_does_not_exist_is_named() -> None:
    with pytest.raises(trainer.UserError, match="no-such-model"):
        Reader("no-such-model")


def test_the_version_is_that_of_the_package() -> None:
    assert trainer.__version__.count(".") == 2
    assert not hasattr(trainer, "nothing_of_this_name")


def test_a_folder_is_evaluated_with_its_rejects(
    reader: Reader, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = [reader.read(path) for path in images]
    for i, (path, reading) in enumerate(zip(images, readings, strict=True)):
        wanted = "98765" if i == 0 else reading.text
        (tmp_path / f"{wanted}_{i}.png").write_bytes(path.read_bytes())
    (tmp_path / "5_broken.png").write_bytes(b"no image")
    found = reader.evaluate(tmp_path)
    assert (found.images, found.accuracy, found.empty) == (5, 0.8, 0)
    assert [Path(one.path).name for one in found.wrong] == ["98765_0.png"]
    assert [Path(path).name for path in found.unread] == ["5_broken.png"]
    assert evaluate.main([str(tmp_path), "--model", "released-fast"]) == 0
    said = capsys.readouterr().out
    assert "numbers fully correct   80.00%" in said
    assert f"98765_0.png: 98765, read as {readings[0].text}" in said
    assert f"not read: {tmp_path / '5_broken.png'}: its first bytes match no supported image format" in said
    assert evaluate.main([str(tmp_path), "--model", "released-fast", "--format", "json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert stored == json.loads(json.dumps(found.to_dict()))
    assert [answer["right"] for answer in stored["answers"]].count(True) == 4


def test_no_number_is_right_where_none_is_listed(reader: Reader, images: list[Path], tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "wall.png")
    (tmp_path / "number.png").write_bytes(images[0].read_bytes())
    text = reader.read(images[0]).text
    (tmp_path / "labels.csv").write_text(f"file,label\nwall.png,\nnumber.png,77\nnumber.png,{text}\n")
    found = reader.evaluate(tmp_path)
    assert (found.images, found.accuracy, found.empty) == (1, 1.0, 1)
    assert found.empty_right == (not reader.read(tmp_path / "wall.png").numbers)


def test_a_wrong_answer_without_a_number_says_so() -> None:
    judged = Judged("a.png", ("439",), Reading("", 0.95, ("",), (), "a.png"))
    assert "wrong: a.png: 439, read as no number (95.0%)" in str(folder_evaluation.measure("photos", [judged], {}))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "give a folder of labelled images, or --workdir and --data"),
        (["FOLDER", "--calibrate"], "--calibrate does not apply to a folder of images"),
        (["--workdir", "w", "--data", "d", "--model", "released"], "--model does not apply to a work folder"),
        (["FOLDER"], "none of the 1 images"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    tmp_path: Path, args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "5.png").write_bytes(b"no image")
    assert evaluate.main([arg.replace("FOLDER", str(tmp_path)) for arg in args]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
