"""The confidence of a region of a photo, from what the finder and the recogniser say about it.

It is the probability that a number is there and its text is right. A logistic regression (Cox 1958) combines the log
odds of both; the whole photo has weights of its own, with the log odds of the best box in place of its own, since a
photo in which a small number is found is not itself a number.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.02, 1 - 1e-6  # of probabilities: log odds beyond mean nothing
RIDGE = 1e-2  # pulls the weights towards those of `RegionCalibration`, so that few regions cannot give wild ones


@dataclass(frozen=True)
class RegionCalibration:
    """Weights of the recogniser's log odds, of the finder's, and an offset; for boxes and for whole photos."""

    box: tuple[float, float, float] = (0.5, 0.5, 0.0)
    whole: tuple[float, float, float] = (1.0, -0.5, -1.0)

    def confidence(self, scores: tf.Tensor, confidences: tf.Tensor) -> tf.Tensor:
        """Return the confidence of regions, the whole photo first, float32 [B, R]; 0 for those that are not there.

        Args:
          scores: of the finder, float32 [B, R], 0 for regions that are not there; those of whole photos do not matter.
          confidences: of the recogniser, float32 [B, R].
        """
        read, found = _log_odds(confidences), _log_odds(scores[:, 1:])
        best = tf.reduce_max(found, axis=1, keepdims=True)
        whole = self.whole[0] * read[:, :1] + self.whole[1] * best + self.whole[2]
        boxes = self.box[0] * read[:, 1:] + self.box[1] * found + self.box[2]
        values = tf.sigmoid(tf.concat([whole, boxes], axis=1))
        return tf.where(scores > 0, values, 0.0)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "RegionCalibration":
        """Return the calibration that `to_json` described."""
        return cls(box=tuple(stored["box"]), whole=tuple(stored["whole"]))

    def to_json(self) -> dict[str, Any]:
        """Return what `model_info.json` holds."""
        return dataclasses.asdict(self)


def _log_odds(probability: tf.Tensor) -> tf.Tensor:
    probability = tf.clip_by_value(probability, LOWEST, HIGHEST)
    return tf.math.log(probability) - tf.math.log1p(-probability)


def fit(scores: NDArray[np.floating], confidences: NDArray[np.floating], right: NDArray[np.bool_]) -> RegionCalibration:
    """Fit the weights on regions of labelled photos by maximum likelihood.

    Args:
      scores, confidences: as in `RegionCalibration.confidence`, float [B, R].
      right: whether there is a number in the region whose text was read right, bool [B, R].
    """
    read, found = _log_odds(tf.constant(confidences)).numpy(), _log_odds(tf.constant(scores[:, 1:])).numpy()
    present = scores[:, 1:] > 0
    before = RegionCalibration()
    return RegionCalibration(
        box=_regression(read[:, 1:][present], found[present], right[:, 1:][present], before.box),
        whole=_regression(read[:, 0], found.max(axis=1), right[:, 0], before.whole),
    )


def _regression(
    read: NDArray[np.floating], found: NDArray[np.floating], right: NDArray[np.bool_], before: tuple[float, ...]
) -> tuple[float, float, float]:
    from scipy import optimize  # only needed here

    features = np.stack([read, found, np.ones_like(read)], axis=-1).astype(np.float64)

    def loss(weights: NDArray[np.float64]) -> float:
        values = features @ weights
        ridge = RIDGE * len(right) * ((weights - before) ** 2).sum() / 100
        return float(np.logaddexp(0, np.where(right, -values, values)).sum() + ridge)

    reading, finding, offset = optimize.minimize(loss, np.array(before), method="BFGS").x
    return float(reading), float(finding), float(offset)
