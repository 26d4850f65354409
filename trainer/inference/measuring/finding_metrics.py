"""Measure how well numbers are found: precision, recall and F1 of oriented boxes at 0.5 intersection over union."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from trainer.inference.measuring.metrics import wilson_interval

SAME = 0.5  # intersection over union at which a box matches a number, as in COCO's AP50 and ICDAR


@dataclass(frozen=True)
class Found:
    """The numbers of one image and what was found in it.

    Attributes:
      truth: corners of its numbers, float [N, 8]: x, y, in order around each box.
      corners: corners of what was found, float [K, 8].
      scores: of what was found, float [K].
    """

    truth: NDArray[np.floating]
    corners: NDArray[np.floating]
    scores: NDArray[np.floating]


def overlaps(ones: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the intersection over union of oriented boxes, float64 [N, K], by their corners [N, 8] and [K, 8]."""
    if not len(ones) or not len(others):
        return np.zeros((len(ones), len(others)))
    first, second = (shapely.convex_hull(shapely.multipoints(c.reshape(-1, 4, 2))) for c in (ones, others))
    both = shapely.area(shapely.intersection(first[:, np.newaxis], second[np.newaxis]))
    union = shapely.area(first)[:, np.newaxis] + shapely.area(second)[np.newaxis] - both
    return both / np.maximum(union, 1e-9)


def matches(found: Found) -> NDArray[np.bool_]:
    """Return which boxes found are correct, bool [K]: best first, each takes the unmatched number it overlaps most."""
    shared = overlaps(found.truth, found.corners)
    right = np.zeros(len(found.scores), bool)
    for i in np.argsort(-found.scores, kind="stable"):
        if len(found.truth) and shared[:, i].max() >= SAME:
            right[i] = True
            shared[shared[:, i].argmax()] = 0.0
    return right


def summarise(answers: Sequence[Found]) -> dict[str, Any]:
    """Return the figures over a whole set.

    Returns:
      `examples`; `numbers`; `f1`, the highest over all thresholds, with the `threshold`, `precision` and `recall` that
      give it and `interval_95` of the recall; `best_recall`, the proportion of images with a number whose best box is
      correct; `empty`, how many images have no number; `empty_answered`, the proportion of them with a box at or above
      the threshold.
    """
    scores = np.concatenate([a.scores for a in answers]) if answers else np.zeros(0)
    right = np.concatenate([matches(a) for a in answers]) if answers else np.zeros(0, bool)
    numbers = sum(len(a.truth) for a in answers)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + max(numbers, 1))
    best = int(f1.argmax()) if len(f1) else None
    threshold = 1.0 if best is None else float(scores[order[best]])
    found = 0 if best is None else int(hits[best])
    with_number, empty = [a for a in answers if len(a.truth)], [a for a in answers if not len(a.truth)]
    first_right = sum(bool(len(a.scores)) and bool(matches(a)[a.scores.argmax()]) for a in with_number)
    answered = sum(bool((a.scores >= threshold).any()) for a in empty)
    return {
        "examples": len(answers),
        "numbers": numbers,
        "f1": 0.0 if best is None else float(f1[best]),
        "threshold": threshold,
        "precision": 0.0 if best is None else found / (best + 1),
        "recall": found / max(numbers, 1),
        "interval_95": wilson_interval(found, numbers),
        "best_recall": first_right / max(len(with_number), 1),
        "empty": len(empty),
        "empty_answered": answered / max(len(empty), 1),
    }


def scalars(summary: dict[str, Any]) -> dict[str, float]:
    """Return the figures to store for each validation."""
    names = ("examples", "f1", "threshold", "precision", "recall", "best_recall", "empty_answered")
    return {name: summary[name] for name in names}


def line(summary: dict[str, Any]) -> str:
    """Return the figures in one line."""
    return (
        f"F1 {summary['f1']:.3f} of {summary['numbers']} numbers (precision {summary['precision']:.3f}, recall "
        f"{summary['recall']:.3f} from {summary['threshold']:.2f} on)"
    )
