"""Calibrate confidence, the probability that the whole number is correct, and measure its reliability.

A model trained with label smoothing is underconfident, one trained for long overconfident. Two parameters correct
this: a temperature, by which the log odds of the best candidate are divided, and an offset added to them (Platt
1999). A temperature alone (Guo et al. 2017) cannot restore the probability that label smoothing takes from every
answer. Confidence increases with the probability, so calibration never changes the order of images by confidence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.inference.measuring import metrics

BINS = 15
FOLDS = 10  # for cross-fitting the thresholds
TARGETS = (0.95, 0.98, 0.99)
LOG_PROB_RANGE = (-30.0, -1e-6)  # keeps log odds finite, also in float32
TEMPERATURE_RANGE = (0.05, 20.0)
OFFSET_RANGE = (-40.0, 40.0)


@dataclass(frozen=True)
class Calibration:
    """confidence = sigmoid(log odds / temperature + offset); by default, the probability itself."""

    temperature: float = 1.0
    offset: float = 0.0

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the confidences, float64 [N], for the probabilities of the best candidates, float [N]."""
        return _sigmoid(log_odds(probabilities) / self.temperature + self.offset)


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)), float64 [N], for probabilities, float [N]."""
    with np.errstate(divide="ignore"):
        log_prob = np.clip(np.log(np.asarray(probabilities, np.float64)), *LOG_PROB_RANGE)
    return log_prob - np.log(-np.expm1(log_prob))


def fit(probabilities: np.ndarray, right: np.ndarray) -> Calibration:
    """Return the maximum-likelihood calibration for these answers.

    The target is (r + 1) / (r + 2) for correct and 1 / (w + 2) for wrong answers, with r and w their counts (Platt
    1999), so that a set without errors does not lead to certainty.

    Args:
      probabilities: of the best candidates, float [N]; if N = 0, the calibration changes nothing.
      right: whether each best candidate is correct, bool [N].
    """
    if not len(right):
        return Calibration()
    x, right = log_odds(probabilities), np.asarray(right, bool)
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))

    def excess(slope: float, offset: float) -> np.ndarray:
        return _sigmoid(slope * x + offset) - target

    # The negative log likelihood is convex: its derivative along the offset, and along the best offsets, is increasing.
    def best_offset(slope: float) -> float:
        return _root(lambda offset: excess(slope, offset).sum(), *OFFSET_RANGE)

    coldest, hottest = TEMPERATURE_RANGE
    slope = _root(lambda slope: excess(slope, best_offset(slope)) @ x, 1 / hottest, 1 / coldest)
    return Calibration(temperature=1 / slope, offset=best_offset(slope))


def cross_fitted(probabilities: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return confidences, float64 [N], each by the calibration fitted on the half that does not contain the answer."""
    order = np.random.default_rng(0).permutation(len(right))
    found = np.zeros(len(right))
    for measured, fitted in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        found[measured] = fit(probabilities[fitted], right[fitted]).confidence(probabilities[measured])
    return found


def measure(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Measure how reliable confidence is, before and after calibration, the latter by cross-fitting.

    Args:
      probabilities: of the best candidates, float [N].
      right: whether each best candidate is correct, bool [N].
    Returns:
      `temperature` and `offset`, fitted on all answers; `before` and `after`, each with `calibration_error` (expected
      calibration error over 15 bins of equal size), `log_loss` in nats, and `bins` as from `reliability`; and
      `thresholds`, fitted on all answers, each with its expected performance on other answers.
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
    """Find the lowest confidences above which 95, 98 and 99 % of the answers are correct.

    They are chosen on these answers, so they perform worse on others: `expected` estimates how much worse.

    Returns:
      For each such `accuracy` the lowest `confidence`, and the `coverage` and the number of images (`pictures`) that
      reach it; the confidence is None if no threshold achieves the accuracy.
    """
    rows = []
    for accuracy in TARGETS:
        lowest, images = metrics.threshold(confidence, right, accuracy)
        coverage = images / len(right) if len(right) else 0.0
        rows.append({"accuracy": accuracy, "confidence": lowest, "coverage": coverage, "pictures": images})
    return rows


def expected(probabilities: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Estimate how `thresholds` perform on other answers, by ten-fold cross-fitting.

    They are chosen on nine tenths and measured on the last, ten times. Probabilities are enough: confidence increases
    with them, so any calibration accepts the same answers.

    Returns:
      For each of the accuracies in turn `expected_coverage`, the proportion of accepted answers, and
      `expected_accuracy`, the proportion of correct ones among them, None if nothing was accepted.
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
    """Return `confidence` and `accuracy` (means) and `pictures` (count) of 15 equal bins, least confident first."""
    order = np.argsort(confidence, kind="stable")
    return [
        {"confidence": float(confidence[i].mean()), "accuracy": float(right[i].mean()), "pictures": len(i)}
        for i in np.array_split(order, BINS)
        if len(i)
    ]


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the mean of |confidence - accuracy| over the bins of `reliability`, weighted by their images."""
    distances = [(b["pictures"], abs(b["confidence"] - b["accuracy"])) for b in reliability(confidence, right)]
    return sum(n * distance for n, distance in distances) / max(len(right), 1)


def log_loss(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the mean negative log likelihood of whether the answers are correct, in nats."""
    likelihood = np.where(right, confidence, 1 - confidence)
    return float(-np.log(np.maximum(likelihood, 1e-12)).sum() / max(len(right), 1))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of an increasing function; the nearer end of the range if it contains none."""
    from scipy import optimize  # only needed to fit

    if rising(low) >= 0:
        return low
    return high if rising(high) <= 0 else optimize.brentq(rising, low, high, xtol=1e-13)
