import contextlib
import io
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trainer.inference.measuring import finding_metrics
from trainer.inference.measuring.finding_metrics import Found


def level(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def boxes(*corners: list[float]) -> np.ndarray:
    return np.array(corners).reshape(-1, 8)


EDGES = st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(1, 60), st.floats(1, 60))


@given(one=EDGES, other=EDGES)
def test_overlaps_of_level_boxes_are_those_of_rectangles(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    (a, b), areas = [(x, y, x + w, y + h) for x, y, w, h in (one, other)], [one[2] * one[3], other[2] * other[3]]
    across, down = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    expected = across * down / (sum(areas) - across * down)
    found = finding_metrics.overlaps(boxes(level(*a)), boxes(level(*b)))
    assert found[0, 0] == pytest.approx(expected, abs=1e-6)


def test_the_overlap_of_a_square_with_itself_turned_by_45_degrees() -> None:
    far = math.sqrt(2)
    turned = [0, -far, far, 0, 0, far, -far, 0]
    both = 8 * (far - 1)  # a regular octagon
    found = finding_metrics.overlaps(boxes(level(-1, -1, 1, 1)), boxes(turned))
    assert found[0, 0] == pytest.approx(both / (8 - both))


def test_each_number_is_found_once() -> None:
    found = Found(boxes(level(0, 0, 10, 10)), boxes(level(0, 0, 10, 9), level(0, 0, 10, 10)), np.array([0.5, 0.9]))
    np.testing.assert_array_equal(finding_metrics.matches(found), [False, True])


NEAR = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(8, 24), st.integers(8, 24))


@given(truth=st.lists(NEAR, min_size=1, max_size=4), found=st.lists(NEAR, min_size=1, max_size=6))
def test_what_is_right_is_right_for_coco_too(truth: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> None:
    scores = np.linspace(0.9, 0.1, len(found))
    corners = [boxes(*[level(x, y, x + w, y + h) for x, y, w, h in rows]) for rows in (truth, found)]
    shared = finding_metrics.overlaps(*corners).round(9)
    enough = shared[shared >= finding_metrics.SAME]
    assume(len(set(enough.tolist())) == len(enough))  # of equal overlaps, COCO's code takes the last, ours the first
    ours = finding_metrics.matches(Found(corners[0], corners[1], scores))
    one = {"image_id": 1, "category_id": 1}
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = {
            "images": [{"id": 1}],
            "categories": [{"id": 1}],
            "annotations": [
                {**one, "id": i, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
                for i, box in enumerate(truth, start=1)
            ],
        }
        labels.createIndex()
        said = [{**one, "bbox": list(box), "score": score} for box, score in zip(found, scores, strict=True)]
        evaluation = COCOeval(labels, labels.loadRes(said), "bbox")
        evaluation.params.iouThrs = np.array([finding_metrics.SAME])
        evaluation.evaluate()
    theirs = evaluation.evalImgs[0]["dtMatches"][0] > 0
    assert theirs.tolist() == ours.tolist()


def test_figures_of_a_small_set_by_hand() -> None:
    none = np.zeros((0, 8))
    answers = [
        Found(boxes(level(0, 0, 10, 10)), boxes(level(1, 0, 10, 10), level(50, 50, 60, 60)), np.array([0.9, 0.3])),
        Found(boxes(level(0, 0, 10, 10), level(30, 0, 40, 10)), boxes(level(30, 0, 40, 10)), np.array([0.6])),
        Found(none, boxes(level(0, 0, 5, 5)), np.array([0.2])),
        Found(none, none, np.zeros(0)),
    ]
    summary = finding_metrics.summarise(answers)
    # From 0.6 on: two of two are right, two of three numbers are found.
    assert summary["f1"] == pytest.approx(0.8)
    assert (summary["threshold"], summary["precision"], summary["recall"]) == (0.6, 1.0, pytest.approx(2 / 3))
    assert (summary["numbers"], summary["empty"], summary["empty_answered"], summary["best_recall"]) == (3, 2, 0.0, 1.0)


def test_nothing_found_is_no_error() -> None:
    none = np.zeros((0, 8))
    summary = finding_metrics.summarise(
        [Found(boxes(level(0, 0, 1, 1)), none, np.zeros(0)), Found(none, none, np.zeros(0))]
    )
    assert (summary["f1"], summary["recall"], summary["empty_answered"]) == (0, 0, 0)
    assert finding_metrics.summarise([])["f1"] == 0
