import numpy as np
import pytest

from trainer.inference.evaluating import photo_metrics
from trainer.inference.evaluating.photo_metrics import PhotoAnswer

WHOLE = [0, 0, 100, 0, 100, 100, 0, 100]


def level(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def answer(
    numbers: dict[str, list[float]], regions: list[tuple[str, list[float], float]], whole: tuple[str, float] = ("", 0.0)
) -> PhotoAnswer:
    """An answer for a photo of 100 x 100 pixels; regions are texts, corners and confidences."""
    texts, corners, confidences = zip((whole[0], WHOLE, whole[1]), *regions, strict=True)
    return PhotoAnswer(
        key="k",
        size=(100, 100),
        labels=tuple(numbers),
        truth=np.array(list(numbers.values()), float).reshape(-1, 8),
        candidates=tuple((text,) for text in texts),
        corners=np.array(corners, float),
        scores=np.array([1.0, *([0.9] * len(regions))]),
        readings=np.array(confidences),
        confidences=np.array(confidences),
    )


HERE, THERE = level(10, 10, 40, 20), level(60, 60, 90, 75)


def test_figures_of_a_small_set_by_hand() -> None:
    answers = [
        answer({"12": HERE}, [("12", HERE, 0.9)]),  # found and right
        answer({"12": HERE, "7": THERE}, [("7", THERE, 0.8), ("13", HERE, 0.7)]),  # the smaller one right only
        answer({"5": HERE}, [("5", THERE, 0.9)]),  # right, but elsewhere
        answer({"34": HERE}, [("34", HERE, 0.15)]),  # right, but not answered
        answer({}, [("8", HERE, 0.6)]),  # there is none
        answer({}, [("8", HERE, 0.15)]),
    ]
    summary = photo_metrics.summarise(answers)
    assert (summary["photos"], summary["empty"]) == (4, 2)
    assert summary["best_accuracy"] == 3 / 4
    # Given: 12, 7, 13, 5, 8. Right: 12 and 7, of five numbers.
    assert (summary["text_precision"], summary["text_recall"]) == (2 / 5, 2 / 5)
    assert summary["text_f1"] == pytest.approx(0.4)
    assert summary["empty_answered"] == 1 / 2


def test_the_whole_photo_stands_for_its_only_number() -> None:
    alone = answer({"12": HERE}, [("99", THERE, 0.1)], whole=("12", 0.9))
    np.testing.assert_array_equal(alone.right(), [True, False])
    assert alone.answered() == [0]
    np.testing.assert_array_equal(answer({"12": HERE, "7": THERE}, [], whole=("12", 0.9)).right(), [False])


def test_the_whole_photo_only_counts_where_it_is_the_best() -> None:
    found = answer({"12": HERE}, [("12", HERE, 0.9)], whole=("12", 0.8))
    assert found.answered() == [1]


def test_a_number_counts_once() -> None:
    twice = answer({"12": HERE}, [("12", HERE, 0.9), ("12", level(11, 10, 40, 20), 0.8)])
    assert photo_metrics.summarise([twice])["text_precision"] == 0.5


@pytest.mark.parametrize(
    ("corners", "area", "layout", "angle"),
    [
        (level(0, 0, 5, 5), "under 1 %", "side by side", "up to 15 degrees"),
        (level(0, 0, 50, 4), "1 to 3 %", "side by side", "up to 15 degrees"),
        (level(0, 0, 10, 80), "3 to 10 %", "stacked", "up to 15 degrees"),
        ([30, 0, 30, 90, 0, 90, 0, 0], "over 10 %", "side by side", "over 60 degrees"),
    ],
)
def test_photos_are_grouped_by_their_largest_number(corners: list[float], area: str, layout: str, angle: str) -> None:
    one = answer({"12": corners}, [])
    assert photo_metrics.area_of(one) == area
    assert photo_metrics.layout_of(one) == layout
    assert photo_metrics.angle_of(one) == angle


def test_an_empty_set_is_no_error() -> None:
    assert photo_metrics.summarise([])["best_accuracy"] == 0
