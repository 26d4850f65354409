"""Metrics of answers: sums over examples, divided once, so that padding never counts."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The answer for one image: its label, the candidates best first, and their probabilities."""

    key: str
    source: str
    label: str
    candidates: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def right(self) -> bool:
        return self.candidates[0] == self.label


def summarise(answers: Iterable[Answer]) -> dict[str, Any]:
    """Return the accuracies over a whole set.

    Returns:
      `examples`; `sequence_accuracy` (the whole number is correct) and its `interval_95`; `digit_accuracy` (correct
      characters by position, relative to the longer of label and answer); `length_accuracy`; `top_accuracy` (the
      label is among the candidates); `coverage_98` and `coverage_99` (the largest proportion of images, most
      confident first, that can be answered at that accuracy); `by_length` and `by_source`, each with `examples`,
      `sequence_accuracy` and `interval_95`.
    """
    answers = list(answers)
    count = len(answers)
    right = sum(a.right for a in answers)
    places = sum(max(len(a.label), len(a.candidates[0])) for a in answers)
    matched = sum(x == y for a in answers for x, y in zip(a.label, a.candidates[0], strict=False))
    by_length: dict[str, list[bool]] = defaultdict(list)
    by_source: dict[str, list[bool]] = defaultdict(list)
    for a in answers:
        by_length[str(len(a.label))].append(a.right)
        by_source[a.source].append(a.right)
    return {
        "examples": count,
        "sequence_accuracy": share(right, count),
        "interval_95": wilson_interval(right, count),
        "digit_accuracy": share(matched, places),
        "length_accuracy": share(sum(len(a.label) == len(a.candidates[0]) for a in answers), count),
        "top_accuracy": share(sum(a.label in a.candidates for a in answers), count),
        "coverage_98": coverage(answers, 0.98),
        "coverage_99": coverage(answers, 0.99),
        "by_length": by_group(by_length, "examples", "sequence_accuracy"),
        "by_source": by_group(by_source, "examples", "sequence_accuracy"),
    }


def scalars(summary: dict[str, Any]) -> dict[str, float]:
    """Return the figures to store for each validation; if images have several sources, also the accuracy of each."""
    names = ("examples", "sequence_accuracy", "digit_accuracy", "length_accuracy", "coverage_98")
    sources = summary["by_source"] if len(summary["by_source"]) > 1 else {}
    of_source = {f"sequence_accuracy/{name}": group["sequence_accuracy"] for name, group in sources.items()}
    return {name: summary[name] for name in names} | of_source


def coverage(answers: Iterable[Answer], accuracy: float) -> float:
    """Return the largest proportion of images, most confident first, that are read with at least that accuracy."""
    answers = list(answers)
    _, images = threshold([a.probabilities[0] for a in answers], [a.right for a in answers], accuracy)
    return share(images, len(answers))


def threshold(confidence: Iterable[float], right: Iterable[bool], accuracy: float) -> tuple[float | None, int]:
    """Return the lowest confidence above which answers have at least that accuracy.

    Images of equal confidence are accepted or rejected together, since no threshold can separate them.

    Args:
      confidence: of each answer.
      right: whether each answer is correct.
      accuracy: the required accuracy, 0 to 1.
    Returns:
      The confidence, None if no threshold achieves the accuracy; the number of images that reach it.
    """
    ranked = sorted(zip(confidence, right, strict=True), key=lambda answer: -answer[0])
    lowest, images, right_so_far = None, 0, 0
    for i, (confident, is_right) in enumerate(ranked, start=1):
        right_so_far += bool(is_right)
        last_of_its_confidence = i == len(ranked) or ranked[i][0] < confident
        if last_of_its_confidence and right_so_far >= accuracy * i:
            lowest, images = float(confident), i
    return lowest, images


def wilson_interval(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion (Wilson 1927)."""
    if not count:
        return (0.0, 1.0)
    share, square = right / count, z * z / count
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return (max(0.0, centre - half), min(1.0, centre + half))


def by_group(groups: dict[str, list[bool]], count: str, accuracy: str) -> dict[str, dict[str, Any]]:
    """Return the size, the accuracy and its `interval_95` of each group, by name; the first two under these names."""
    return {
        name: {
            count: len(rights),
            accuracy: share(sum(rights), len(rights)),
            "interval_95": wilson_interval(sum(rights), len(rights)),
        }
        for name, rights in sorted(groups.items())
    }


def share(part: float, whole: float) -> float:
    """Return the proportion `part / whole`, 0 if the whole is 0."""
    return part / whole if whole else 0.0
