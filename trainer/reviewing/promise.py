"""Estimate from a reviewed sample the accuracy of all rows at each coverage, with its interval: the promise.

The sample is stratified by confidence. Its accuracy is the mean of the strata, weighted by how many rows each has. The
interval is that of Clopper and Pearson (1934) for the effective sample size, as Korn and Graubard (1998) propose for
surveys. The effective size is Kish's (1965), the square of the sum of the weights over the sum of their squares: a size
from the estimated variance would fail, since that is zero in strata where all answers are correct. Kish's size shrinks
if the strata were sampled unevenly, and does not benefit from stratification, so the interval is conservative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
NO_ANSWER = "not yet: some strata have no answers"


@dataclass(frozen=True)
class Stratum:
    """The rows with a confidence from `low` up to the next stratum: how many there are, how many of their sample are
    answered, and how many of these the model has read correctly."""

    low: float
    rows: int
    answered: int
    right: int


@dataclass(frozen=True)
class Promise:
    """What to expect if all rows with a confidence of at least `confidence` are accepted.

    Attributes:
      confidence: the threshold.
      rows: how many rows are accepted; `coverage`: the proportion of all.
      answered: how many of these are in the sample and answered.
      accuracy: the estimated proportion of accepted rows that are correct, None if a stratum has no answer yet.
      interval: the 95 % interval of `accuracy`, None if that is.
    """

    confidence: float
    rows: int
    coverage: float
    answered: int
    accuracy: float | None
    interval: tuple[float, float] | None


def table(strata: Sequence[Stratum], threshold: float | None = None) -> list[Promise]:
    """Return the promise at the lower bound of each stratum that has rows, the highest first.

    Args:
      strata: in ascending order of their bounds.
      threshold: the lower bound of a stratum that is listed even if it has no rows.
    """
    total = sum(stratum.rows for stratum in strata)
    first = [index for index, stratum in enumerate(strata) if stratum.rows or stratum.low == threshold]
    return [_promise(strata[index:], total) for index in reversed(first)]


def _promise(accepted: Sequence[Stratum], total: int) -> Promise:
    filled = [stratum for stratum in accepted if stratum.rows]
    rows, answered = sum(stratum.rows for stratum in filled), sum(stratum.answered for stratum in filled)
    if not (filled and all(stratum.answered for stratum in filled)):
        return Promise(accepted[0].low, rows, rows / max(1, total), answered, None, None)
    accuracy = sum(stratum.rows * stratum.right / stratum.answered for stratum in filled) / rows
    size = rows**2 / sum(stratum.rows**2 / stratum.answered for stratum in filled)
    return Promise(accepted[0].low, rows, rows / total, answered, accuracy, interval(accuracy * size, size))


def interval(right: float, size: float) -> tuple[float, float]:
    """Return the 95 % Clopper-Pearson interval of a proportion; neither count needs to be whole.

    Args:
      right: how many of the sample are correct.
      size: the size of the sample.
    """
    from scipy import stats  # takes a second to import

    wrong, tail = max(0.0, size - right), (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, right, wrong + 1)) if right > 1e-9 else 0.0
    high = float(stats.beta.ppf(1 - tail, right + 1, wrong)) if wrong > 1e-9 else 1.0
    return low, high


def text(promises: Sequence[Promise], min_confidence: float) -> str:
    """Return the promises as a table; the threshold in use is marked."""
    lines = [f"{'confidence':>12}{'coverage':>11}{'rows':>12}{'reviewed':>10}{'accuracy':>11}   95 % interval"]
    for promise in promises:
        mark = "*" if math.isclose(promise.confidence, min_confidence) else " "
        line = (
            f"{mark} from {promise.confidence:<5g}{promise.coverage:>11.1%}{promise.rows:>12,}{promise.answered:>10,}"
        )
        if promise.accuracy is None or promise.interval is None:
            lines.append(f"{line}{'-':>11}   {NO_ANSWER if promise.rows else 'no rows'}")
        else:
            low, high = promise.interval
            lines.append(f"{line}{promise.accuracy:>11.1%}   {low:.1%} to {high:.1%}")
    return "\n".join(lines)
