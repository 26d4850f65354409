"""Confidence: the probability that the number read is the whole right one, and how well it keeps its word.

A model that was trained with smoothed labels doubts too much, one that was trained for long too little. Two numbers
mend it: a temperature, by which the log odds of the best candidate are divided, and an offset added to them (Platt
1999). A temperature alone (Guo et al. 2017) cannot undo the share of the probability that label smoothing takes from
every answer. Confidence rises with the probability, so calibration never changes which images are answered first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.inference import metrics

BINS = 15
FOLDS = 10  # of cross-fitted thresholds
TARGETS = (0.95, 0.98, 0.99)
LOG_PROB_RANGE = (-30.0, -1e-6)  # so that log odds stay finite, in float32, too
TEMPERATURE_RANGE = (0.05, 20.0)
OFFSET_RANGE = (-40.0, 40.0)


@dataclass(frozen=True)
class Calibration:
    """confidence = sigmoid(log odds / temperature + offset); as it stands, the probability itself."""

    temperature: float = 1.0
    offset: float = 0.0

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """Confidences, float64 [N], of the probabilities of the best candidates, float [N]."""
        return _sigmoid(log_odds(probabilities) / self.temperature + self.offset)


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), float64 [N], of float [N]."""
    with np.errstate(divide="ignore"):
        log_prob = np.clip(np.log(np.asarray(probabilities, np.float64)), *LOG_PROB_RANGE)
    return log_prob - np.log(-np.expm1(log_prob))


def fit(probabilities: np.ndarray, right: np.ndarray) -> Calibration:
    """The calibration under which it is most likely that just these answers were right.

    Answers count as right to (r + 1) / (r + 2) and as wrong to 1 / (w + 2), r and w being their numbers (Platt 1999),
    so that a set without errors makes nothing certain.

    Args:
      probabilities: of the best candidates, float [N]; with N = 0 nothing is changed.
      right: whether it was the right number, bool [N].
    """
    if not len(right):
        return Calibration()
    x, right = log_odds(probabilities), np.asarray(right, bool)
    wanted = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def excess(slope: float, offset: float) -> np.ndarray:
        return _sigmoid(slope * x + offset) - wanted

    # The negative log likelihood is convex: its slope along the offset, and along the best offsets, only rises.
    def best_offset(slope: float) -> float:
        return _root(lambda offset: excess(slope, offset).sum(), *OFFSET_RANGE)

    coldest, hottest = TEMPERATURE_RANGE
    slope = _root(lambda slope: excess(slope, best_offset(slope)) @ x, 1 / hottest, 1 / coldest)
    return Calibration(temperature=1 / slope, offset=best_offset(slope))


def cross_fitted(probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Confidences, float64 [N], each under the calibration fitted on the half of the answers that it is not in."""
    order = np.random.default_rng(0).permutation(len(right))
    found = np.zeros(len(right))
    for measured, fitted in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        found[measured] = fit(probabilities[fitted], right[fitted]).confidence(probabilities[measured])
    return found


def measure(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """How far confidence can be trusted, before and after calibration, the latter by cross-fitting.

    Args:
      probabilities: of the best candidates, float [N].
      right: whether it was the right number, bool [N].
    Returns:
      `temperature` and `offset`, fitted on all; `before` and `after`, each with `calibration_error` (expected
      calibration error over 15 bins of equal size), `log_loss` in nats, and `bins` as of `reliability`; and
      `thresholds`, fitted on all, each with what to expect of it on other answers.
    """
    whole = fit(probabilities, right)
    by_name = {
        "before": Calibration().confidence(probabilities),
        "after": cross_fitted(probabilities, right),
    }
    return {
        "temperature": whole.temperature,
        "offset": whole.offset,
        "thresholds": [
            row | on_others
            for row, on_others in zip(
                thresholds(whole.confidence(probabilities), right), expected(probabilities, right), strict=True
            )
        ],
        **{
            name: {
                "calibration_error": calibration_error(confidence, right),
                "log_loss": log_loss(confidence, right),
                "bins": reliability(confidence, right),
            }
            for name, confidence in by_name.items()
        },
    }


def thresholds(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Find from which confidence on the answers are right to 95, 98 and 99 %.

    They are chosen on the answers at hand, so expect less of them on others: `expected` says how much less.

    Returns:
      For each such `accuracy` the lowest `confidence`, the `coverage` and the number of `pictures` that reach it;
      the confidence is None where none does.
    """
    rows = []
    for accuracy in TARGETS:
        lowest, images = metrics.threshold(confidence, right, accuracy)
        coverage = images / len(right) if len(right) else 0.0
        rows.append({"accuracy": accuracy, "confidence": lowest, "coverage": coverage, "pictures": images})
    return rows


def expected(probabilities: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Measure what `thresholds` promise on other answers, by ten-fold cross-fitting.

    They are chosen on nine tenths and measured on the last, ten times. Probabilities do for that: confidence rises
    with them, so any calibration accepts the same answers.

    Returns:
      For each of the accuracies in turn `expected_coverage`, the share that was accepted, and `expected_accuracy`, the
      share of these that was right, None where nothing was accepted.
    """
    accepted = np.zeros((len(TARGETS), len(right)), bool)
    for measured in np.array_split(np.random.default_rng(0).permutation(len(right)), FOLDS):
        others = np.setdiff1d(np.arange(len(right)), measured)
        for i, row in enumerate(thresholds(probabilities[others], right[others])):
            lowest = row["confidence"]
            accepted[i, measured] = lowest is not None and probabilities[measured] >= lowest
    return [
        {
            "expected_coverage": float(chosen.mean()) if len(right) else 0.0,
            "expected_accuracy": float(right[chosen].mean()) if chosen.any() else None,
        }
        for chosen in accepted
    ]


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Mean `confidence` and `accuracy`, and number of `pictures`, of 15 bins of equal size, the doubtful first."""
    order = np.argsort(confidence, kind="stable")
    return [
        {"confidence": float(confidence[i].mean()), "accuracy": float(right[i].mean()), "pictures": len(i)}
        for i in np.array_split(order, BINS)
        if len(i)
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The mean distance of confidence and accuracy over the bins of `reliability`, by their images."""
    distances = [(b["pictures"], abs(b["confidence"] - b["accuracy"])) for b in reliability(confidence, right)]
    return sum(n * distance for n, distance in distances) / max(len(right), 1)


def log_loss(confidence: np.ndarray, right: np.ndarray) -> float:
    """The mean negative log likelihood of whether the answers were right, in nats."""
    likelihood = np.where(right, confidence, 1 - confidence)
    return float(-np.log(np.maximum(likelihood, 1e-12)).sum() / max(len(right), 1))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0, by bisection; the nearer end where it is so nowhere between."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
