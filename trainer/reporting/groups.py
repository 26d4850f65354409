"""Accuracy by groups of images: by length, source, size, sharpness and confidence."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.inference.measuring import metrics, notable

Row = dict[str, Any]

MOST = 24  # groups in a table
HEIGHTS = ((24, "under 24 pixels"), (48, "24 to 47"), (96, "48 to 95"), (192, "96 to 191"), (math.inf, "192 or more"))
CONFIDENCES = (
    (0.5, "under 50 %"),
    (0.8, "50 to 80 %"),
    (0.9, "80 to 90 %"),
    (0.95, "90 to 95 %"),
    (0.98, "95 to 98 %"),
    (math.inf, "98 % or more"),
)
QUARTERS = ("least sharp quarter", "second quarter", "third quarter", "sharpest quarter")


@dataclass(frozen=True)
class Group:
    """One group, and how many of its images were read correctly, with the 95 % interval of their proportion."""

    name: str
    images: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Grouping:
    """All groups of one kind, and how many more there are."""

    title: str
    groups: list[Group]
    left_out: int = 0
    note: str = ""


def of_answers(rows: Sequence[Row]) -> list[Grouping]:
    """Return the groupings of rows of `answers.jsonl`; without size and sharpness if an older version wrote them."""
    found = [
        _grouping("By length", rows, _length_of, order=_number),
        _grouping("By source", rows, lambda row: row.get("source", "unknown")),
    ]
    if sized := [row for row in rows if row.get("height")]:
        classes = [name for _, name in HEIGHTS]
        named = _grouping("By height of the image", sized, lambda row: _class(row["height"], HEIGHTS), classes.index)
        found.append(named)
    if sharp := [row for row in rows if row.get("sharpness") is not None]:
        found.append(_by_sharpness(sharp))
    order = [name for _, name in CONFIDENCES].index
    return [*found, _grouping("By confidence", rows, lambda row: _class(notable.confidence(row), CONFIDENCES), order)]


def of_summary(title: str, by_name: dict[str, dict[str, Any]], count: str, accuracy: str) -> Grouping:
    """Return the groups that `metrics.by_group` counted, under these names."""
    groups = [Group(name, one[count], one[accuracy], *one["interval_95"]) for name, one in by_name.items()]
    return Grouping(title, groups[:MOST], max(0, len(groups) - MOST))


def _by_sharpness(rows: Sequence[Row]) -> Grouping:
    bounds = np.quantile([row["sharpness"] for row in rows], (0.25, 0.5, 0.75))
    classes = [*zip(bounds, QUARTERS, strict=False), (math.inf, QUARTERS[-1])]
    note = "Variance of the Laplacian of the model's input (Pech-Pacheco et al. 2000); bounds of the quarters: "
    found = _grouping("By sharpness", rows, lambda row: _class(row["sharpness"], classes), QUARTERS.index)
    return Grouping(found.title, found.groups, found.left_out, note + ", ".join(f"{bound:,.0f}" for bound in bounds))


def _grouping(
    title: str, rows: Sequence[Row], name_of: Callable[[Row], str], order: Callable[[str], Any] = str
) -> Grouping:
    rights: defaultdict[str, list[bool]] = defaultdict(list)
    for row in rows:
        rights[name_of(row)].append(notable.is_right(row))
    found = [
        Group(name, len(right), sum(right) / len(right), *metrics.wilson_interval(sum(right), len(right)))
        for name, right in rights.items()
    ]
    if order is str:  # the names have no natural order
        found.sort(key=lambda group: (-group.images, group.name))
    else:
        found.sort(key=lambda group: order(group.name))
    return Grouping(title, found[:MOST], max(0, len(found) - MOST))


def _class(value: float, classes: Sequence[tuple[float, str]]) -> str:
    return next(name for bound, name in classes if value < bound)


def _length_of(row: Row) -> str:
    length = len(row["label"])
    return f"{length} character{'' if length == 1 else 's'}"


def _number(name: str) -> int:
    return int(name.split()[0])
