"""Choose the photos that are worth looking at among a finder's answers: wrong ones, and the most uncertain.

Answers are rows of `answers.jsonl`, whose `numbers` are all regions that were read, most confident first.
"""

from collections.abc import Sequence
from typing import Any

from trainer.inference.exports.exported_model import LEAST_CONFIDENCE

SHOWN = 24  # of each kind; photos are larger than cut-out numbers

Row = dict[str, Any]


def is_whole(number: Row, row: Row) -> bool:
    """Return whether a number's region is the whole photo; False for rows without the photo's size."""
    width, height = row.get("size", (0, 0))
    return bool(width) and number["box"] == [0, 0, width, 0, width, height, 0, height]


def answers(row: Row) -> list[Row]:
    """Return the numbers that count as answers, best first; the whole photo only if it is the best.

    A photo with labels in which the model is not confident enough of any has its best guess.
    """
    numbers = [n for i, n in enumerate(row["numbers"]) if n["text"] and (i == 0 or not is_whole(n, row))]
    return [n for n in numbers if n["confidence"] >= LEAST_CONFIDENCE] or (numbers[:1] if row["labels"] else [])


def confidence(row: Row) -> float:
    """Return the confidence of the best answer, 0 without one."""
    return max((float(number["confidence"]) for number in answers(row)), default=0.0)


def is_right(row: Row) -> bool:
    """Return whether the best answer is the largest number, or a photo without one has no answer."""
    return bool(row["right"]) if row["labels"] else not answers(row)


def worst(rows: Sequence[Row]) -> list[Row]:
    """Return the photos with a wrong answer, most confident first."""
    return sorted((row for row in rows if not is_right(row)), key=lambda row: -confidence(row))


def most_uncertain(rows: Sequence[Row]) -> list[Row]:
    """Return the photos with an answer, least confident first."""
    return sorted((row for row in rows if answers(row)), key=confidence)


def shown(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the first `SHOWN` of each kind."""
    return {"worst": worst(rows)[:SHOWN], "uncertain": most_uncertain(rows)[:SHOWN]}
