"""Compute confidence intervals of figures that are not simple proportions, by bootstrapping (Efron 1979)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 400
MOST = 100_000  # images; with more, the intervals are narrower than what is displayed


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of sum(parts) / sum(wholes), where each image has a part and a whole."""
    part, whole = np.asarray(parts, float), np.asarray(wholes, float)
    return _interval(len(part), lambda counts: float(counts @ part) / max(float(counts @ whole), 1e-12))


def coverage(confidences: Sequence[float], right: Sequence[bool], accuracy: float) -> tuple[float, float] | None:
    """Return the 95 % interval of `metrics.coverage`, for the confidence of each answer and whether it is correct."""
    confidence = np.asarray(confidences, float)
    order = np.argsort(-confidence, kind="stable")
    ranked, is_right = confidence[order], np.asarray(right, float)[order]
    last = np.append(ranked[1:] < ranked[:-1], [True] * bool(len(ranked)))  # of the answers of its confidence

    def measured(counts: NDArray[np.int64]) -> float:
        in_order = counts[order]
        accepted = np.cumsum(in_order)
        reached = last & (np.cumsum(in_order * is_right) >= accuracy * accepted)
        return float(accepted[reached].max(initial=0)) / len(ranked)

    return _interval(len(ranked), measured)


def _interval(count: int, measured: Callable[[NDArray[np.int64]], float]) -> tuple[float, float] | None:
    """Return the interval of a figure, given how often each image is drawn; None for too few or too many images."""
    if not 1 < count <= MOST:
        return None
    random = np.random.default_rng(0)
    figures = [measured(np.bincount(random.integers(count, size=count), minlength=count)) for _ in range(RESAMPLES)]
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)
