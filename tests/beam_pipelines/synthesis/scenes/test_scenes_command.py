"""`synthesize --source scenes`: real photos as backdrops and as sources of numbers, mistakes, and two workers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from beam_pipelines import inspect, prepare, synthesize
from beam_pipelines.inputs.digit_struct import DigitBox, Entry
from beam_pipelines.synthesis import camera
from beam_pipelines.synthesis.scenes import backdrop, cutouts, scene
from beam_pipelines.synthesis.scenes.scene import Scenes
from tests.beam_pipelines.dataset.test_datasets import files, write_csv
from tests.beam_pipelines.dataset.test_readable import ours
from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from tests.beam_pipelines.synthesis.scenes.test_scenes import UNIFORM, corners_in
from trainer.data.formats import dataset_info

SCENES = ("--source", "scenes", "--scene-size", "96", "--seed", "4")
BLUE = (20, 30, 220)


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(90, 160, (40 + 10 * i, 60, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of whole photos, grey but for two blue frames, which are the digits 4 and 2."""
    top = tmp_path_factory.mktemp("photos")
    (top / "svhn").mkdir()
    entries = []
    for i in range(6):
        image = Image.new("RGB", (80, 60), (128, 128, 128))
        boxes = [(20 + i, 15, 14, 24), (36 + i, 15, 14, 24)]
        for left, upper, width, height in boxes:
            edges = (left, upper, left + width - 1, upper + height - 1)
            ImageDraw.Draw(image).rectangle(edges, outline=BLUE, width=2)
        image.save(top / "svhn" / f"{i}.png")
        entries.append(Entry(f"{i}.png", tuple(DigitBox(d, *box) for d, box in zip((4, 2), boxes, strict=True))))
    write_digit_struct(top / "svhn" / "digitStruct.mat", entries)
    args = ["--format", "digitstruct", "--input", str(top / "svhn"), "--crop", "whole", "--num-shards", "2"]
    assert prepare.main([*args, "--output", str(top / "records")]) == 0
    return top / "records"


def shards(folder: Path) -> tuple[str, ...]:
    return tuple(dataset_info.shard_paths(str(folder), dataset_info.read_info(str(folder)), "train"))


def blue(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image.convert("RGB"), int)
    return (pixels[..., 2] - pixels[..., :2].max(axis=2)) > 60


def test_whole_photos_keep_their_numbers_and_corners(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "photograph", lambda rng, canvas: canvas)
    monkeypatch.setattr(scene, "WHOLE_PHOTOS", 1.0)
    grey = Image.new("RGB", (96, 96), (128, 128, 128))
    monkeypatch.setattr(backdrop, "draw", lambda rng, photos, size: grey.copy())
    make = Scenes(2, UNIFORM, 96, 0.0, photos=shards(photos))
    for index in range(20):
        made = make(index)
        (number,) = made.numbers
        assert number.text == "42"
        rows, columns = np.nonzero(blue(made.image))
        low, high = corners_in(made.image, number).min(axis=0), corners_in(made.image, number).max(axis=0)
        np.testing.assert_allclose(low, (columns.min(), rows.min()), atol=2)
        np.testing.assert_allclose(high, (columns.max() + 1, rows.max() + 1), atol=2)


def test_pasted_numbers_lie_where_their_corners_are(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "photograph", lambda rng, canvas: canvas)
    monkeypatch.setattr(scene, "REAL", 1.0)
    monkeypatch.setattr(scene, "DISTRACTORS", ((0, 1.0),))
    monkeypatch.setattr(scene, "NUMBERS", ((1, 1.0),))
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    monkeypatch.setattr(backdrop, "draw", lambda rng, photos, size: grey.copy())
    make = Scenes(3, UNIFORM, 128, 0.0, records=shards(photos))
    stacked = 0
    for index in range(60):
        made = make(index)
        for number in made.numbers:
            assert set(number.text) <= set("42")
            low, high = corners_in(made.image, number).min(axis=0), corners_in(made.image, number).max(axis=0)
            rows, columns = np.nonzero(blue(made.image))
            if not rows.size:
                continue  # tiny, and blended with the ground
            assert low[0] - 4 <= columns.min() <= columns.max() <= high[0] + 4
            assert low[1] - 4 <= rows.min() <= rows.max() <= high[1] + 4
            stacked += high[1] - low[1] > 1.5 * (high[0] - low[0])
    assert stacked >= 3


def test_a_number_of_several_in_a_photo_is_cut_out_with_its_own_text(photos: Path) -> None:
    (photo, *_) = cutouts.load(shards(photos), 10)
    piece = cutouts.cut(np.random.default_rng(0), photo)
    assert piece is not None
    assert piece.text == "42"
    rows, columns = np.nonzero(blue(piece.image))
    np.testing.assert_allclose(piece.corners[0], (columns.min(), rows.min()), atol=1.01)
    np.testing.assert_allclose(piece.corners[2], (columns.max() + 1, rows.max() + 1), atol=1.01)


def test_no_more_records_are_held_than_asked_for(photos: Path) -> None:
    assert len(cutouts.load(shards(photos), 4)) == 4
    assert len(cutouts.load(shards(photos), 100)) == 6


def test_a_dataset_of_scenes_is_intact_and_its_largest_number_is_its_text(
    tmp_path: Path, backgrounds: Path, photos: Path
) -> None:
    args = [*SCENES, "--count", "24", "--backgrounds", str(backgrounds), "--photos", str(photos)]
    assert synthesize.main([*args, "--output", str(tmp_path / "out")]) == 0
    assert inspect.main([str(tmp_path / "out"), "--verify", "--sheet", str(tmp_path / "sheet.png")]) == 0
    found = ours(tmp_path / "out", "train")
    assert sorted(found) == sorted(f"synthetic-scenes/train/4/{i}" for i in range(24))
    for record in found.values():
        assert record.source == "synthetic-scenes"
        assert record.text == (record.numbers[0].text if record.numbers else "")
        assert (record.box is None) == (not record.numbers)
        if record.box:
            np.testing.assert_allclose(record.box, record.numbers[0].upright_box, atol=1e-6)
    assert {bool(record.numbers) for record in found.values()} == {True, False}


@pytest.mark.slow
def test_two_worker_processes_make_the_same_scenes(tmp_path: Path, backgrounds: Path, photos: Path) -> None:
    inputs = ["--backgrounds", str(backgrounds), "--photos", str(photos), "--records", str(photos)]
    args = [*SCENES, "--count", "12", "--num-shards", "4", *inputs]
    assert synthesize.main([*args, "--output", str(tmp_path / "one")]) == 0
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    assert synthesize.main([*args, "--output", str(tmp_path / "two"), *workers]) == 0
    assert len(files(tmp_path / "one")) == 4
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--backgrounds", "{top}/empty"], "/empty has no images: give a folder of photos"),
        (["--backgrounds", "{top}/nowhere"], "/nowhere cannot be listed: No such file"),
        (["--backgrounds", "{top}/broken"], "/broken/b.png"),
        (["--photos", "{top}/boxless"], "no record has boxes: prepare a dataset from images with boxes"),
        (["--records", "{top}/boxless"], "no record has boxes: prepare a dataset from images with boxes"),
        (["--photos", "{top}/empty"], "/empty has no COMPLETED"),
        (["--empty", "1.5"], "'1.5' is not a share from 0 to 1"),
        (["--empty", "nan"], "'nan' is not a share from 0 to 1"),
        (["--empty", "some"], "'some' is not a share from 0 to 1"),
        (["--scene-size", "8"], "--scene-size"),
        (["--lengths", "nowhere.csv"], "neither a file nor a known distribution"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    tmp_path: Path, args: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "broken" / "a.png")
    (tmp_path / "broken" / "b.png").write_bytes((tmp_path / "broken" / "a.png").read_bytes()[:40])
    data = write_csv(tmp_path / "mine", "file,label\na.png,12\n")
    assert prepare.main(["--format", "csv", "--input", str(data), "--output", str(tmp_path / "boxless")]) == 0
    capsys.readouterr()
    filled = [arg.format(top=tmp_path) for arg in args]
    assert synthesize.main([*SCENES, "--count", "3", "--output", str(tmp_path / "out"), *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
