"""Measure how well numbers in photos are found and read: per photo, and per number with its box and its text."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.labels import box_corners
from trainer.inference.exports.exported_model import LEAST_CONFIDENCE
from trainer.inference.measuring import metrics
from trainer.inference.measuring.finding_metrics import SAME, overlaps

AREAS = ((0.01, "under 1 %"), (0.03, "1 to 3 %"), (0.1, "3 to 10 %"), (math.inf, "over 10 %"))
ANGLES = ((15, "up to 15 degrees"), (60, "15 to 60 degrees"), (math.inf, "over 60 degrees"))
TALL = 1.5  # height relative to width from which a number of several characters counts as stacked


@dataclass(frozen=True)
class PhotoAnswer:
    """The numbers of one photo, and what was answered.

    Attributes:
      key: of the photo.
      size: width and height in pixels.
      labels: the texts of its numbers, the largest first.
      truth: their corners in pixels, float [N, 8].
      candidates: of the regions that were read, the whole photo first: the texts of each, best first.
      corners: of these regions in pixels, float [R, 8].
      scores: of the finder, float [R], 0 for absent regions.
      readings: the confidence of the recogniser, float [R].
      confidences: of the answers, float [R].
    """

    key: str
    size: tuple[int, int]
    labels: tuple[str, ...]
    truth: NDArray[np.floating]
    candidates: tuple[tuple[str, ...], ...]
    corners: NDArray[np.floating]
    scores: NDArray[np.floating]
    readings: NDArray[np.floating]
    confidences: NDArray[np.floating]

    @property
    def texts(self) -> tuple[str, ...]:
        """The best text of each region."""
        return tuple(texts[0] for texts in self.candidates)

    @property
    def best(self) -> int:
        """The region with the highest confidence."""
        return int(self.confidences.argmax())

    @property
    def best_right(self) -> bool:
        """Whether the text of the best region is that of the largest number."""
        return bool(self.labels) and self.texts[self.best] == self.labels[0]

    def matched(self) -> NDArray[np.int64]:
        """Return the number that each region overlaps most, by its index, -1 if none enough; int64 [R].

        The whole photo matches its only number, wherever that is; if it has several, it matches none.
        """
        if not self.labels:
            return np.full(len(self.texts), -1)
        shared = overlaps(self.truth, self.corners)
        numbers = np.where(shared.max(axis=0) >= SAME, shared.argmax(axis=0), -1)
        numbers[0] = 0 if len(self.labels) == 1 else -1
        return numbers

    def right(self) -> NDArray[np.bool_]:
        """Return whether there is a number in each region, and its text is right, bool [R]."""
        return np.array([n >= 0 and self.labels[n] == t for n, t in zip(self.matched(), self.texts, strict=True)])

    def answered(self) -> list[int]:
        """Return the regions that count as answers, the best first; the whole photo only if it is the best."""
        order = np.argsort(-self.confidences, kind="stable")
        return [int(i) for i in order if self.confidences[i] >= LEAST_CONFIDENCE and (i or i == self.best)]


def summarise(answers: Sequence[PhotoAnswer]) -> dict[str, Any]:
    """Return the figures over a whole set.

    Returns:
      `photos` with a number, and the proportion of them whose best answer is their largest number, `best_accuracy`,
      with its `interval_95`; `text_f1`, `text_precision` and `text_recall` of all numbers, where an answer is right if
      its box overlaps the number's by half and its text is the same; `empty` photos without a number, and the
      proportion of them that are answered, `empty_answered`; `by_area`, `by_layout`, `by_angle` of the largest number.
    """
    numbered, empty = [a for a in answers if a.labels], [a for a in answers if not a.labels]
    right = sum(a.best_right for a in numbered)
    hits = given = 0
    for answer in answers:
        is_right, numbers, taken = answer.right(), answer.matched(), set()
        for region in answer.answered():
            given += 1
            if is_right[region] and numbers[region] not in taken:
                taken.add(numbers[region])
                hits += 1
    labelled = sum(len(a.labels) for a in answers)
    answered = sum(bool(a.answered()) for a in empty)
    return {
        "photos": len(numbered),
        "best_accuracy": metrics.share(right, len(numbered)),
        "interval_95": metrics.wilson_interval(right, len(numbered)),
        "text_f1": metrics.share(2 * hits, given + labelled),
        "text_precision": metrics.share(hits, given),
        "text_recall": metrics.share(hits, labelled),
        "empty": len(empty),
        "empty_answered": metrics.share(answered, len(empty)),
        "empty_interval_95": metrics.wilson_interval(answered, len(empty)),
        "by_area": _groups(numbered, area_of),
        "by_layout": _groups(numbered, layout_of),
        "by_angle": _groups(numbered, angle_of),
    }


def area_of(answer: PhotoAnswer) -> str:
    """Return the size class of the largest number: the proportion of the photo that it covers."""
    area = abs(box_corners.area(tuple(answer.truth[0].tolist())))
    return _class_of(area / (answer.size[0] * answer.size[1]), AREAS)


def layout_of(answer: PhotoAnswer) -> str:
    """Return whether the characters of the largest number are side by side or stacked."""
    width, height = _sides(answer.truth[0])
    return "stacked" if len(answer.labels[0]) > 1 and height > TALL * width else "side by side"


def angle_of(answer: PhotoAnswer) -> str:
    """Return the class of the largest number's rotation angle."""
    corners = answer.truth[0]
    return _class_of(abs(math.degrees(math.atan2(corners[3] - corners[1], corners[2] - corners[0]))), ANGLES)


def _sides(corners: NDArray[np.floating]) -> tuple[float, float]:
    return float(np.linalg.norm(corners[2:4] - corners[:2])), float(np.linalg.norm(corners[6:] - corners[:2]))


def _class_of(value: float, classes: Sequence[tuple[float, str]]) -> str:
    return next(name for bound, name in classes if value < bound)


def _groups(answers: Sequence[PhotoAnswer], class_of: Callable[[PhotoAnswer], str]) -> dict[str, dict[str, Any]]:
    by_class: dict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        by_class[class_of(answer)].append(answer.best_right)
    return metrics.by_group(by_class, "photos", "best_accuracy")
