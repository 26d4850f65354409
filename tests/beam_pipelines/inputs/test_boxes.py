"""Boxes of numbers from CSV files and digitStruct: upright or corners, one, several or none, moved with the crop."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from beam_pipelines import prepare
from beam_pipelines.inputs import csv_file, images, labelled
from beam_pipelines.inputs.digit_struct import DigitBox, Entry
from tests.beam_pipelines.dataset.test_datasets import files, rejects
from tests.beam_pipelines.dataset.test_readable import ours
from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from trainer.data.formats import dataset_info
from trainer.data.formats.records import Corners, Record
from trainer.data.labels import box_corners

UPRIGHT = "file,label,left,top,width,height"
CORNERS = "file,label,x0,y0,x1,y1,x2,y2,x3,y3"
TURNED = (8.0, 20.0, 20.0, 4.0, 28.0, 10.0, 16.0, 26.0)  # climbs to the right
FURTHER = "further rows of an image"


def write(folder: Path, header: str, *rows: str) -> Path:
    """Five white images, 40x30, with a black number between the turned corners; and a list of rows."""
    folder.mkdir(parents=True)
    image = Image.new("RGB", (40, 30), "white")
    ImageDraw.Draw(image).polygon([coordinate - 0.5 for coordinate in TURNED], fill="black")
    for name in "abcde":
        image.save(folder / f"{name}.png")
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def prepared(folder: Path, *args: object, status: int = 0) -> Path:
    out = folder.parent / "out"
    command = ["--format", "csv", "--input", str(folder), "--output", str(out), *map(str, args)]
    assert prepare.main(command) == status
    if not status:
        info = dataset_info.read_info(str(out))
        assert info.records_in == sum(split.records for split in info.splits.values()) + sum(info.rejects.values())
    return out


def read(out: Path) -> dict[str, Record]:
    return {key.removeprefix("mine/"): record for key, record in ours(out, "train").items()}


def pixels(record: Record, number: int = 0) -> np.ndarray:
    """The corners of a number in pixels of the 40x30 image, flat."""
    return np.multiply(record.numbers[number].corners, (40, 30) * 4)


def test_an_upright_box_becomes_a_number_with_corners(tmp_path: Path) -> None:
    out = prepared(write(tmp_path / "mine", UPRIGHT, "a.png,12,10,5,12,20", "b.png,7,-4,5,12,20"), "--crop", "whole")
    found = read(out)
    assert [number.text for number in found["a.png"].numbers] == ["12"]
    np.testing.assert_allclose(pixels(found["a.png"]), [10, 5, 22, 5, 22, 25, 10, 25], rtol=1e-6)
    np.testing.assert_allclose(found["a.png"].box or (), [10 / 40, 5 / 30, 22 / 40, 25 / 30])
    # Corners reach beyond the image, the upright box does not.
    np.testing.assert_allclose(pixels(found["b.png"]), [-4, 5, 8, 5, 8, 25, -4, 25], rtol=1e-6)
    np.testing.assert_allclose(found["b.png"].box or (), [0, 5 / 30, 8 / 40, 25 / 30])


@pytest.mark.parametrize("policy", ["whole", "context", "tight"])
@pytest.mark.parametrize("side", [256, 20])
def test_corners_move_with_the_crop(tmp_path: Path, policy: str, side: int) -> None:
    row = ",".join(map(str, ["a.png", 205, *TURNED]))
    folder = write(tmp_path / "mine", CORNERS, row)
    record = read(prepared(folder, "--crop", policy, "--max-side", side, "--size", 2 * side))["a.png"]
    (number,) = record.numbers
    assert (record.text, number.text) == ("205", "205")
    image = images.load(record.encoded).image
    corners = np.array(number.points) * image.size
    drawn = Image.new("L", image.size, 255)
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in corners - 0.5], fill=0)
    black = np.asarray(image.convert("L")) < 128
    differing = black != (np.asarray(drawn) < 128)
    edge = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).sum()
    assert differing.sum() <= edge * max(1.0, edge / 60)  # a pixel of the input along its edges, which are 60 long


def test_several_rows_are_several_numbers_of_one_image_the_largest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = [
        "a.png,7,1,1,4,8",
        "b.png,3,1,1,4,8",
        "./a.png,2468,5,10,30,15",
        "a.png,12,20,1,10,8",
        "c.png,5,,,,",
        "d.png,,,,,",
    ]
    out = prepared(write(tmp_path / "mine", UPRIGHT, *rows), "--crop", "whole")
    found = read(out)
    assert {key: [number.text for number in record.numbers] for key, record in found.items()} == {
        "a.png": ["2468", "12", "7"],
        "b.png": ["3"],
        "c.png": [],  # its box is unknown
        "d.png": [],  # it shows no number
    }
    assert {key: record.text for key, record in found.items()} == {
        "a.png": "2468",
        "b.png": "3",
        "c.png": "5",
        "d.png": "",
    }
    np.testing.assert_allclose(pixels(found["a.png"], 2), [1, 1, 5, 1, 5, 9, 1, 9], rtol=1e-6)
    np.testing.assert_allclose(found["a.png"].box or (), found["a.png"].numbers[0].upright_box)
    info = dataset_info.read_info(str(out))
    assert (info.records_in, info.rejects) == (4, {})
    assert info.notes == {FURTHER: 2, "images without an entry": 1}
    assert f"note: {FURTHER}" in capsys.readouterr().out
    assert info.splits["train"].lengths == {"0": 1, "1": 2, "4": 1}


def test_an_image_of_several_numbers_is_rejected_whole_and_once(tmp_path: Path) -> None:
    good = "1,1,4,8"
    rows = [
        *[f"a.png,7,{good}", "a.png,8,,,,"],
        *[f"b.png,7,{good}", "b.png,,,,,"],
        *[f"c.png,7,{good}", "c.png,7b,9,9,4,8"],
        *[f"d.png,7,{good}", f"d.png,7,{good}"],
        *[f"e.png,7,{good}", "e.png,8,90,9,4,8", "e.png,9,9,9,4,8"],
        f"f.png,,{good}",
        "g.png,1,2,x,4,5",
        f"h.png,123456,{good}",
    ]
    out = prepared(write(tmp_path / "mine", UPRIGHT, *rows, "a1.png,1,1,1,4,8"), "--crop", "whole", status=2)
    assert not out.exists()  # a1.png does not exist, so nothing could be written
    (tmp_path / "mine" / "a1.png").write_bytes((tmp_path / "mine" / "a.png").read_bytes())
    out = prepared(tmp_path / "mine", "--crop", "whole")
    assert rejects(out) == {
        "mine/a.png": "no-box",
        "mine/b.png": "label",
        "mine/c.png": "label",
        "mine/d.png": "duplicate-box",
        "mine/e.png": "box-outside",
        "mine/f.png": "label",
        "mine/g.png": "box-value",
        "mine/h.png": "too-long",
    }
    info = dataset_info.read_info(str(out))
    assert (info.records_in, info.notes) == (9, {FURTHER: 6})
    details = [json.loads(line)["detail"] for line in (out / dataset_info.REJECTS_FILE).read_text().splitlines()]
    assert any("'8', one of its 2 rows, has no box" in detail for detail in details)


@pytest.mark.parametrize("policy", ["tight", "context"])
def test_other_crops_make_one_record_of_an_image_and_reject_its_further_rows(tmp_path: Path, policy: str) -> None:
    rows = ["a.png,12,10,5,12,20", "a.png,7,1,1,4,8", "b.png,,,,,", "c.png,3,,,,"]
    out = prepared(write(tmp_path / "mine", UPRIGHT, *rows), "--crop", policy)
    assert [number.text for number in read(out)["a.png"].numbers] == ["12"]
    lines = [json.loads(line) for line in (out / dataset_info.REJECTS_FILE).read_text().splitlines()]
    found = {(row["key"], row["reason"]): row["detail"] for row in lines}
    assert set(found) == {("mine/a.png", "duplicate-name"), ("mine/b.png", "label"), ("mine/c.png", "no-box")}
    assert "several numbers of an image need --crop whole" in found["mine/a.png", "duplicate-name"]
    assert "an image without a number needs --crop whole" in found["mine/b.png", "label"]


def test_without_columns_for_boxes_an_empty_label_is_a_mistake_and_so_is_a_second_row(tmp_path: Path) -> None:
    out = prepared(write(tmp_path / "mine", "file,label", "a.png,12", "a.png,13", "b.png,"))
    assert rejects(out) == {"mine/a.png": "duplicate-name", "mine/b.png": "label"}
    assert read(out)["a.png"].text == "12"


def test_only_images_without_a_number_make_a_dataset(tmp_path: Path) -> None:
    out = prepared(write(tmp_path / "mine", CORNERS, *(f"{name}.png,,,,,,,,," for name in "abc")), "--crop", "whole")
    assert [(record.text, record.box, record.numbers) for record in read(out).values()] == [("", None, [])] * 3


BACKWARDS = (8.0, 20.0, 16.0, 26.0, 28.0, 10.0, 20.0, 4.0)
CROSSED = (8.0, 20.0, 20.0, 4.0, 16.0, 26.0, 28.0, 10.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (BACKWARDS, "box-order"),
        (CROSSED, "box-order"),
        ((5.0, 5.0, 20.0, 5.0, 12.0, 8.0, 5.0, 20.0), "box-order"),  # bent inwards
        ((5.0, 5.0) * 4, "box-size"),
        ((5.0, 5.0, 9.0, 9.0, 14.0, 14.0, 7.0, 7.0), "box-order"),  # a line
        (("nan", 5.0, 9.0, 5.0, 9.0, 9.0, 5.0, 9.0), "box-value"),
        (("1e300", 5.0, 9.0, 5.0, 9.0, 9.0, 5.0, 9.0), "box-value"),
        (("x", 5.0, 9.0, 5.0, 9.0, 9.0, 5.0, 9.0), "box-value"),
        ((5.0, 5.0, 9.0, 5.0, 9.0, 9.0, 5.0, ""), "box-value"),
        ((50.0, 5.0, 59.0, 5.0, 59.0, 9.0, 50.0, 9.0), "box-outside"),
    ],
)
@pytest.mark.parametrize("policy", ["whole", "tight"])
def test_impossible_corners_are_named(tmp_path: Path, values: tuple, reason: str, policy: str) -> None:
    rows = [",".join(map(str, ["a.png", 7, *TURNED])), ",".join(map(str, ["b.png", 7, *values]))]
    out = prepared(write(tmp_path / "mine", CORNERS, *rows), "--crop", policy)
    assert rejects(out) == {"mine/b.png": reason}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("file,label,x0,y0,x1,y1,x2,y2,x3", "give all or none (y3 missing)"),
        (f"{CORNERS},left,top,width,height", "keep one kind of box"),
        ("file,label,left,top,width", "only left,top,width: give all or none (height missing)"),
    ],
)
def test_columns_of_boxes_are_checked(tmp_path: Path, header: str, message: str, capsys: pytest.CaptureFixture) -> None:
    out = prepared(write(tmp_path / "mine", header, "a.png,1"), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_rows_of_an_image_in_different_splits_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = ["a.png,7,train,1,1,4,8", "b.png,8,train,1,1,4,8", "b.png,9,test,9,1,4,8"]
    folder = write(tmp_path / "mine", "file,label,split,left,top,width,height", *rows)
    prepared(folder, "--crop", "whole", status=2)
    error = capsys.readouterr().err
    assert "names the image mine/b.png several times, in different splits" in error
    assert error.count("\n") == 1


def test_digit_structs_have_a_number_around_their_digits(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    Image.new("RGB", (60, 30)).save(folder / "1.png")
    write_digit_struct(
        folder / "digitStruct.mat", [Entry("1.png", (DigitBox(1, 6, 3, 12, 15), DigitBox(2, 30, 6, 40, 15)))]
    )
    for policy in ("whole", "context"):
        args = ["--format", "digitstruct", "--input", folder, "--crop", policy, "--context", 0, 0]
        out = tmp_path / policy
        assert prepare.main([*map(str, args), "--output", str(out)]) == 0
        (record,) = ours(out, "train").values()
        (number,) = record.numbers
        assert number.text == record.text == "12"
        expected = {"whole": [0.1, 0.1, 7 / 6, 0.7], "context": [0, 0, 64 / 54, 1]}[policy]
        np.testing.assert_allclose(box_corners.box_around(number.corners), expected, rtol=1e-6)
        np.testing.assert_allclose(record.box or (), np.minimum(expected, 1), rtol=1e-6)


@pytest.mark.slow
def test_two_worker_processes_group_rows_alike(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", UPRIGHT, *(f"{'abcde'[i % 5]}.png,{i},{i},1,4,8" for i in range(20)))
    args = ["--format", "csv", "--input", str(folder), "--crop", "whole"]
    assert prepare.main([*args, "--output", str(tmp_path / "one")]) == 0
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    assert prepare.main([*args, "--output", str(tmp_path / "two"), *workers]) == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert all(len(record.numbers) == 4 for record in ours(tmp_path / "one", "train").values())


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 3))
def test_grouped_or_not_every_entry_is_dealt_once(
    tmp_path_factory: pytest.TempPathFactory, at: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("grouped") / "mine"
    folder.mkdir()
    (folder / "labels.csv").write_text("\n".join([UPRIGHT, *(f"{i}.png,{i},1,1,4,8" for i in at)]))
    source, shares = csv_file.open_csv(str(folder), None), [("train", 0.5), ("test", 0.5)]
    names = {place: key for place, key, _ in source.entries()}
    plain, grouped = (labelled.survey(source, shares, seed, grouped=each) for each in (False, True))
    for split, places in grouped.splits.items():
        assert sorted({names[place] for place in places}) == sorted(names[place] for place in places)
        further = [place for first in places for place in grouped.repeats.of(first)]
        assert sorted([*places, *further]) == sorted(plain.splits[split])
        assert all(names[place] == names[first] for first in places for place in grouped.repeats.of(first))
        assert [place for place in plain.splits[split] if place not in plain.duplicates] == list(places)
    assert sorted(grouped.repeats.places) == sorted(plain.duplicates)


finite = st.floats(-50, 90, width=32)


@given(st.tuples(*[finite] * 8), st.tuples(finite, finite), st.integers(1, 99), st.integers(1, 99))
def test_relative_corners_are_exact_and_not_clipped(
    corners: Corners, origin: tuple[float, float], width: int, height: int
) -> None:
    crop = (*origin, origin[0] + width, origin[1] + height)
    back = np.multiply(box_corners.relative(corners, crop), (width, height) * 4) + np.tile(origin, 4)
    np.testing.assert_allclose(back, corners, atol=1e-4)
