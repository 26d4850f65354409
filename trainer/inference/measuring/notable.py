"""Choose the answers that are worth looking at: the worst mistakes, near misses, and the most uncertain answers.

Answers are rows of `answers.jsonl`.
"""

from collections.abc import Sequence
from typing import Any

SHOWN = 48  # of each kind

Row = dict[str, Any]


def confidence(row: Row) -> float:
    """Return the calibrated confidence; the probability for rows of version 0.1.0, which stored no confidence."""
    return float(row.get("confidence", row["probabilities"][0]))


def is_right(row: Row) -> bool:
    """Return whether the best candidate is the label."""
    return bool(row["candidates"][0] == row["label"])


def worst(rows: Sequence[Row]) -> list[Row]:
    """Return the wrong answers, most confident first."""
    return sorted((row for row in rows if not is_right(row)), key=lambda row: -confidence(row))


def near_misses(rows: Sequence[Row]) -> list[Row]:
    """Return the wrong answers whose label is another candidate, the closest race first."""

    def lead(row: Row) -> float:
        behind = row["probabilities"][row["candidates"].index(row["label"])]
        return float(row["probabilities"][0] / max(behind, 1e-30))

    return sorted((row for row in rows if not is_right(row) and row["label"] in row["candidates"]), key=lead)


def most_uncertain(rows: Sequence[Row]) -> list[Row]:
    """Return all answers, least confident first."""
    return sorted(rows, key=confidence)


def shown(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the first `SHOWN` of each kind."""
    kinds = {"worst": worst, "near": near_misses, "uncertain": most_uncertain}
    return {name: choose(rows)[:SHOWN] for name, choose in kinds.items()}
