"""Choose the rows to review and their order: those below the threshold, and a random sample that checks all rows."""

import bisect
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.cli import UserError
from trainer.data.formats import prediction_rows
from trainer.reviewing import predictions
from trainer.reviewing.predictions import Predictions, Row

ORDERS = ("uncertain", "valuable")
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # lowest confidence of the strata
FEWEST = 10  # sampled rows of a stratum, if it has that many and the sample is large enough


@dataclass(frozen=True)
class Options:
    """What to review.

    Attributes:
      min_confidence: rows below it are for review.
      order: `uncertain`: the lowest confidence first; `valuable`: the smallest margin between two candidates first.
      count: how many of these rows, at most.
      sample: how many rows of all strata are reviewed as a check.
      seed: of the sample.
    """

    min_confidence: float
    order: str = "uncertain"
    count: int = 1000
    sample: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Queue:
    """What is reviewed.

    Attributes:
      min_confidence: rows below it are for review.
      rows: by number; those in the queue and those with answers.
      order: the numbers of the rows in the queue.
      edges: the lowest confidence of each stratum.
      sizes: how many rows each stratum has.
      sample: the keys of the sampled rows of each stratum.
      left_out: how many rows are images in archives and records, which cannot be shown.
    """

    min_confidence: float
    rows: dict[int, Row]
    order: tuple[int, ...]
    edges: tuple[float, ...]
    sizes: tuple[int, ...]
    sample: tuple[frozenset[str], ...]
    left_out: int


@dataclass(frozen=True)
class _Survey:
    """What determines the order, for all rows: arrays of the same length."""

    confidence: np.ndarray
    margin: np.ndarray
    rank: np.ndarray
    shown: np.ndarray


def plan(source: Predictions, options: Options, answered: frozenset[str]) -> Queue:
    """Return the queue for predictions; read them twice, and keep only the rows that it needs.

    Args:
      source: the predictions.
      options: what to review.
      answered: the keys of rows that have answers; these are kept, too.
    Raises:
      UserError: the predictions are damaged, or none has an image that can be shown.
    """
    survey = _survey(source, options.seed)
    if not survey.shown.any():
        raise UserError(
            f"{source.path} has no rows whose images can be shown: images of archives and records are not reviewed"
        )
    edges = tuple(sorted({*EDGES, options.min_confidence}))
    stratum = np.searchsorted(edges, survey.confidence, side="right") - 1
    stratum[~survey.shown] = -1
    members = [np.flatnonzero(stratum == index) for index in range(len(edges))]
    sizes = [len(one) for one in members]
    by_rank = [one[np.argsort(survey.rank[one], kind="stable")] for one in members]
    chosen = [one[:most] for one, most in zip(by_rank, allocated(sizes, options.sample), strict=True)]
    order = _interleaved(_for_review(survey, options), _spread(chosen))
    rows = _rows(source, set(order), answered, survey.shown)
    sample = tuple(frozenset(rows[number].key for number in one.tolist()) for one in chosen)
    left_out = int((~survey.shown).sum())
    return Queue(options.min_confidence, rows, tuple(order), edges, tuple(sizes), sample, left_out)


def stratum_of(edges: Sequence[float], confidence: float) -> int:
    """Return the index of the stratum with this confidence."""
    return bisect.bisect_right(edges, confidence) - 1


def allocated(sizes: Sequence[int], total: int) -> list[int]:
    """Return how many rows to sample from each stratum: `FEWEST` from each, the rest in proportion to size."""
    counts = [min(size, FEWEST) for size in sizes]
    if sum(counts) > total:
        counts = [0] * len(sizes)
    while (left := min(total, sum(sizes)) - sum(counts)) > 0:
        spare = [size - count for size, count in zip(sizes, counts, strict=True)]
        shares = [left * free // sum(spare) for free in spare]
        if not any(shares):  # fewer rows are left than strata: the largest strata get one each
            largest = sorted(range(len(spare)), key=lambda index: -spare[index])[:left]
            shares = [int(index in largest) for index in range(len(spare))]
        counts = [count + share for count, share in zip(counts, shares, strict=True)]
    return counts


def _survey(source: Predictions, seed: int) -> _Survey:
    confidence, margin, rank, shown = [], [], [], []
    salt = f"{seed}/".encode()
    for _, row in source.rows():
        confidence.append(float(row["confidence"]))
        margin.append(_margin(row["candidates"]))
        digest = hashlib.blake2b(salt + row["key"].encode("utf-8", "surrogateescape"), digest_size=8).digest()
        rank.append(int.from_bytes(digest, "big"))
        shown.append(prediction_rows.is_image_file(row))
    return _Survey(np.array(confidence), np.array(margin), np.array(rank, np.uint64), np.array(shown, bool))


def _margin(candidates: Sequence[Any]) -> float:
    """Return by how much the best candidate is more probable than the next, 1 if there is none."""
    try:
        first, second = (float(one["probability"]) for one in candidates[:2])
        return first - second
    except (ValueError, TypeError, LookupError):
        return 1.0


def _for_review(survey: _Survey, options: Options) -> list[int]:
    below = np.flatnonzero(survey.shown & (survey.confidence < options.min_confidence))
    key = survey.confidence if options.order == "uncertain" else survey.margin
    return below[np.argsort(key[below], kind="stable")][: options.count].tolist()


def _spread(chosen: Sequence[np.ndarray]) -> list[int]:
    """Return the sampled rows with each stratum evenly spread, in its own random order."""
    placed = [((at + 0.5) / len(one), int(row)) for one in chosen for at, row in enumerate(one)]
    return [row for _, row in sorted(placed)]


def _interleaved(review: Sequence[int], sample: Sequence[int]) -> list[int]:
    """Return both lists, evenly mixed; a row in both keeps its place in the sample."""
    sampled = set(sample)
    parts = ([row for row in review if row not in sampled], sample)
    placed = [((at + 0.5) / len(rows), kind, at, row) for kind, rows in enumerate(parts) for at, row in enumerate(rows)]
    return [row for *_, row in sorted(placed)]


def _rows(source: Predictions, wanted: set[int], answered: frozenset[str], shown: np.ndarray) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for number, row in source.rows():
        if number in wanted or (row["key"] in answered and shown[number]):
            found[number] = predictions.parsed(number, row)
    return found
