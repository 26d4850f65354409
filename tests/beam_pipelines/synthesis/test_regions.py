"""Regions: what a recogniser gets from a finder, with the right text, upright, and nothing where there is no number."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from beam_pipelines import inspect, synthesize
from beam_pipelines.synthesis.regions import NumberRegions
from tests.beam_pipelines.dataset.test_readable import ours
from trainer.cli import UserError
from trainer.data.formats import records, tfrecord
from trainer.data.formats.records import Number, Record
from trainer.data.images import image_io
from trainer.vocab import DIGITS, Vocab

GREY, WHITE, INKS = (
    (128, 128, 128),
    (255, 255, 255),
    ((220, 30, 30), (30, 200, 30), (30, 30, 220)),
)  # of the first, second and third digit


def shard(
    path: Path,
    places: list[tuple[float, float]],
    size: int,
    down: tuple[float, float],
    *,
    letter: tuple[float, float] | None = None,
    others: tuple[Number, ...] = (),
) -> tuple[str, ...]:
    """Write a photo of 200 x 200 pixels with the number 123, squares in three inks, at the places of their middles.

    Args:
      size: of the squares, in pixels.
      down: unit vector from the top of each digit to its bottom.
      letter: where there is a white square as well.
      others: further numbers, which are not drawn.
    """
    image = Image.new("RGB", (200, 200), GREY)
    if letter:
        x, y = letter
        ImageDraw.Draw(image).rectangle((x - size / 2, y - size / 2, x + size / 2 - 1, y + size / 2 - 1), fill=WHITE)
    for (x, y), ink in zip(places, INKS, strict=True):
        ImageDraw.Draw(image).rectangle((x - size / 2, y - size / 2, x + size / 2 - 1, y + size / 2 - 1), fill=ink)
    middles = np.array(places)
    right = np.array([down[1], -down[0]])
    across, along = middles @ right, middles @ np.array(down)
    edges = across.min() - size / 2, across.max() + size / 2, along.min() - size / 2, along.max() + size / 2
    ends = ((0, 2), (1, 2), (1, 3), (0, 3))
    corners = [edges[i] * right + edges[j] * np.array(down) for i, j in ends]
    x0, y0, x1, y1, x2, y2, x3, y3 = (float(v) for v in np.concatenate(corners) / 200)
    number = Number("123", (x0, y0, x1, y1, x2, y2, x3, y3))
    record = Record(
        image_io.encode(image, "png"), "png", "a", "123", "csv", number.upright_box, numbers=(number, *others)
    )
    with path.open("wb") as file:
        tfrecord.write_framed(file, records.to_example(record, Vocab(DIGITS)))
    return (str(path),)


def from_left(image: Image.Image) -> list[int]:
    """Return the inks by the middle of the columns that they fill, from left to right."""
    pixels = np.asarray(image, int)
    near = [(np.abs(pixels - ink).sum(axis=-1) < 90).any(axis=0).nonzero()[0] for ink in INKS]
    assert all(len(columns) for columns in near)
    return [int(i) for i in np.argsort([columns.mean() for columns in near])]


@pytest.mark.parametrize(
    ("places", "down"),
    [
        ([(60, 100), (90, 100), (120, 100)], (0.0, 1.0)),
        ([(100, 60), (100, 90), (100, 120)], (-1.0, 0.0)),  # turned clockwise by a right angle
        ([(100, 120), (100, 90), (100, 60)], (1.0, 0.0)),
        ([(120, 100), (90, 100), (60, 100)], (0.0, -1.0)),  # upside down
    ],
    ids=["level", "clockwise", "anticlockwise", "upside down"],
)
def test_a_number_is_cut_out_upright(
    tmp_path: Path, places: list[tuple[float, float]], down: tuple[float, float]
) -> None:
    cut = NumberRegions(1, shard(tmp_path / "a", places, 24, down), 10, 0.0)
    for index in range(20):
        drawn = cut(index)
        assert drawn.text == "123"
        assert from_left(drawn.image) == [0, 1, 2]
        assert drawn.image.width > drawn.image.height


def test_some_stacked_characters_are_laid_side_by_side(tmp_path: Path) -> None:
    paths = shard(tmp_path / "a", [(100, 60), (100, 90), (100, 120)], 24, (0.0, 1.0))
    images = [NumberRegions(1, paths, 10, 0.0)(index).image for index in range(80)]
    wide = [image for image in images if image.width > 1.5 * image.height]
    assert 8 <= len(wide) <= 32
    assert all(from_left(image) == [0, 1, 2] for image in wide)
    others = [image.transpose(Image.Transpose.ROTATE_90) for image in images if image.width <= 1.5 * image.height]
    assert all(from_left(image) == [0, 1, 2] for image in others)


def test_as_many_stacked_numbers_are_shown_as_asked_for(tmp_path: Path) -> None:
    level = shard(tmp_path / "a", [(60, 100), (90, 100), (120, 100)], 24, (0.0, 1.0))
    paths = level * 9 + shard(tmp_path / "b", [(100, 60), (100, 90), (100, 120)], 24, (0.0, 1.0))

    def stacked(share: float, paths: tuple[str, ...] = paths) -> int:
        images = [NumberRegions(1, paths, 10, 0.0, share)(index).image for index in range(200)]
        return sum(image.height > image.width for image in images)

    assert stacked(0.0) <= 30
    assert 60 <= stacked(0.6) <= 130  # some are laid side by side
    assert stacked(0.6, level) <= 10  # there are none


def shows_letter(image: Image.Image) -> bool:
    """Return whether the white square is seen in full: as wide as the last digit."""
    white, last = (
        (np.abs(np.asarray(image, int) - ink).sum(axis=-1) < 90).any(axis=0).sum() for ink in (WHITE, INKS[2])
    )
    return bool(white > 0.8 * last)


def test_some_boxes_run_on_over_the_letter_beside_a_number(tmp_path: Path) -> None:
    places = [(60.0, 100.0), (86.0, 100.0), (112.0, 100.0)]
    paths = shard(tmp_path / "a", places, 20, (0.0, 1.0), letter=(138, 100))
    drawn = [NumberRegions(1, paths, 10, 0.0)(index) for index in range(200)]
    assert {one.text for one in drawn} == {"123"}
    assert 4 <= sum(shows_letter(one.image) for one in drawn) <= 30
    for one in drawn:
        assert from_left(one.image) == [0, 1, 2]


def test_no_box_runs_on_over_another_number(tmp_path: Path) -> None:
    places = [(60.0, 100.0), (86.0, 100.0), (112.0, 100.0)]
    tiny = Number("7", (0.69, 0.49, 0.7, 0.49, 0.7, 0.51, 0.69, 0.51))  # too small to be cut out itself
    paths = shard(tmp_path / "a", places, 20, (0.0, 1.0), letter=(138, 100), others=(tiny,))
    drawn = [NumberRegions(1, paths, 10, 0.0)(index) for index in range(200)]
    assert not any(shows_letter(one.image) for one in drawn)


def test_stacked_characters_in_a_wrong_number_of_parts_have_no_text(tmp_path: Path) -> None:
    paths = shard(tmp_path / "a", [(100, 60), (100, 90), (100, 120)], 24, (0.0, 1.0))
    drawn = [NumberRegions(1, paths, 10, 1.0)(index) for index in range(100)]
    assert {one.text for one in drawn} == {""}
    cut = [one.image for one in drawn if np.abs(np.asarray(one.image, int) - GREY).max() > 60]
    assert 55 <= len(cut) <= 85
    for image in cut:  # in two parts: the second digit is below the first and above the third
        first, second, third = ((np.abs(np.asarray(image, int) - ink).sum(axis=-1) < 90).any(axis=0) for ink in INKS)
        assert (first & second).any()
        assert (second & third).any()


def test_what_has_no_text_touches_no_number(tmp_path: Path) -> None:
    cut = NumberRegions(1, shard(tmp_path / "a", [(60, 100), (90, 100), (120, 100)], 24, (0.0, 1.0)), 10, 0.4)
    drawn = [cut(index) for index in range(100)]
    empty = [one for one in drawn if not one.text]
    assert 25 <= len(empty) <= 55
    for one in empty:
        assert np.abs(np.asarray(one.image, int) - GREY).max() < 20


def test_a_dataset_of_regions_is_intact_and_some_have_no_text(tmp_path: Path) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    args = ["--source", "scenes", "--scene-size", "256", "--count", "12", "--empty", "0.3", "--output", str(scenes)]
    assert synthesize.main(args) == 0
    args = ["--source", "regions", "--records", str(scenes), "--count", "30", "--output", str(out)]
    assert synthesize.main(args) == 0
    assert inspect.main([str(out), "--verify"]) == 0
    found = ours(out, "train").values()
    assert len(found) == 30
    assert {record.source for record in found} == {"synthetic-regions"}
    assert {bool(record.text) for record in found} == {True, False}
    assert all(record.box is None for record in found)


@pytest.mark.parametrize(
    ("size", "empty", "message"),
    [(6, 0.0, "have no number of 10 pixels or more"), (199, 1.0, "have no room for a region without a number")],
)
def test_records_that_are_of_no_use_are_an_error(tmp_path: Path, size: int, empty: float, message: str) -> None:
    cut = NumberRegions(1, shard(tmp_path / "a", [(100, 100)] * 3, size, (0.0, 1.0)), 10, empty)
    with pytest.raises(UserError, match=message):
        cut(0)


def test_letters_of_the_records_are_in_the_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    args = ["--source", "scenes", "--scene-size", "256", "--count", "12", "--pattern", "[A-C]{2}-[0-9]{6}"]
    assert synthesize.main([*args, "--output", str(scenes)]) == 0
    args = ["--source", "regions", "--records", str(scenes), "--count", "12", "--output", str(out)]
    assert synthesize.main([*args, "--alphabet", "0123456789"]) == 2
    assert "lacks -, A, B, C, which --records has" in capsys.readouterr().err
    assert synthesize.main([*args, "--pattern", "[0-9]"]) == 2
    assert "leave out --texts and --pattern" in capsys.readouterr().err
    assert synthesize.main(args) == 0
    assert {len(record.text) for record in ours(out, "train").values()} == {0, 9}


def test_without_records_it_says_what_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize.main(["--source", "regions", "--count", "3", "--output", str(tmp_path / "out")]) == 2
    assert "--source regions needs --records DIR" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
