"""Numbers in other styles than house numbers: readable, inside their image, and a function of (seed, index)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines import inspect, synthesize
from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.fonts import HOUSE, Drawn, Fonts
from beam_pipelines.synthesis.styles import digit_shapes
from beam_pipelines.synthesis.styles.looks import LOOKS
from trainer.vocab import DIGITS

NUMBERS = texts.from_options("uniform", "uniform", max_digits=8, alphabet=DIGITS)
STYLES = sorted(LOOKS)


def test_the_command_line_offers_all_styles():
    assert sorted(synthesize.STYLES) == sorted([*LOOKS, HOUSE])


def same(one: Drawn, other: Drawn) -> bool:
    return (one.text, one.char_boxes, one.style) == (other.text, other.char_boxes, other.style) and (
        one.image.tobytes() == other.image.tobytes()
    )


@given(style=st.sampled_from(STYLES), seed=st.integers(0, 2**32 - 1), index=st.integers(0, 10**9))
def test_an_image_is_a_function_of_seed_and_index(style: str, seed: int, index: int):
    drawn = Fonts(seed, NUMBERS, (style,))(index)
    assert same(drawn, Fonts(seed, NUMBERS, (style,))(index))
    assert drawn.style == style
    assert len(drawn.char_boxes) == len(drawn.text)
    for left, top, right, bottom in drawn.char_boxes:
        assert 0 <= left < right <= drawn.image.width
        assert 0 <= top < bottom <= drawn.image.height
    middles = [(left + right) / 2 for left, _, right, _ in drawn.char_boxes]
    assert middles == sorted(middles)


@pytest.mark.parametrize("style", STYLES)
def test_characters_stand_out_from_what_they_are_on(style: str):
    contrasts = []
    for index in range(30):
        made = LOOKS[style].look(np.random.default_rng([7, index]), "80")
        grey = np.asarray(made.image.convert("L"), np.float32)
        for left, top, right, bottom in made.boxes:
            values = grey[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            contrasts.append(np.quantile(values, 0.95) - np.quantile(values, 0.05))
    assert np.quantile(contrasts, 0.1) > 40  # of 255


@pytest.mark.parametrize("shapes", [digit_shapes.dots, digit_shapes.handwriting])
def test_digits_have_different_shapes(shapes):
    masks = [np.asarray(mask, np.float32) / 255 for mask in shapes(np.random.default_rng(3), DIGITS, (24, 36))]
    assert all(0.05 < mask.mean() < 0.7 for mask in masks)
    distances = [np.abs(one - other).mean() for i, one in enumerate(masks) for other in masks[:i]]
    assert min(distances) > 0.03


def test_segments_are_where_they_are_on_a_display():
    top, middle, eight = digit_shapes.segments(np.random.default_rng(1), ["A", "G", "ABCDEFG"], (24, 36))
    assert np.asarray(top)[:8].mean() > 20
    assert not np.asarray(top)[12:].any()
    assert np.asarray(middle)[14:22].mean() > 20
    assert not np.asarray(middle)[:12].any()
    assert (np.asarray(eight) >= np.asarray(top)).all()


def test_each_style_occurs_equally_often_and_house_numbers_are_as_without_styles():
    every = (*STYLES, HOUSE)
    drawn = [Fonts(5, NUMBERS, every)(index) for index in range(280)]
    counts = {style: sum(one.style == style for one in drawn) for style in STYLES}
    assert all(20 <= count <= 62 for count in counts.values()), counts
    plain = Fonts(5, NUMBERS)
    houses = [(index, one) for index, one in enumerate(drawn) if not one.style]
    assert len(houses) >= 20
    assert all(same(one, plain(index)) for index, one in houses)


def test_a_dataset_counts_the_images_of_each_style(tmp_path: Path, capsys: pytest.CaptureFixture):
    args = ["--count", "30", "--style", "segment", "house", "--max-digits", "8", "--output", str(tmp_path / "data")]
    assert synthesize.main(args) == 0
    assert inspect.main([str(tmp_path / "data")]) == 0
    said = capsys.readouterr().out
    assert "synthetic-segment" in said
    assert "synthetic-fonts" in said


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--style", "segment", "--alphabet", "ABC"], "--style segment draws digits only"),
        (["--style", "plate", "--source", "scenes"], "--style is for --source fonts"),
        (["--style", "neon"], "invalid choice: 'neon'"),
    ],
)
def test_mistakes_end_in_one_line(args: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert synthesize.main([*args, "--count", "4", "--output", str(tmp_path / "out")]) == 2
    assert wanted in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_letters_are_drawn_on_plates(tmp_path: Path):
    args = ["--count", "4", "--style", "plate", "bib", "--pattern", "[A-Z]{2}-[0-9]{3}", "--output"]
    assert synthesize.main([*args, str(tmp_path / "plates")]) == 0
