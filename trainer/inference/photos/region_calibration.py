"""Compute the confidence of a region of a photo from what the finder and the recogniser say about it.

It is the probability that a number is there and its text is correct. A logistic regression (Cox 1958) combines the log
odds of both, with an offset by the length of the text: part of a number, a letter or an edge is easily read as one
digit, but hardly ever as four. The whole photo, which has no finder score, has separate weights and uses the score of
the best box instead, since a photo in which a small number is found is not itself a number. If the recogniser reads an
empty text, the confidence is 0.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.02, 1 - 1e-6  # of probabilities; log odds beyond these carry no information
RIDGE = 1e-2  # pulls the weights towards those of `RegionCalibration`, so that few regions cannot give wild ones
LENGTHS = 3  # 1, 2, and more characters have offsets of their own


@dataclass(frozen=True)
class RegionCalibration:
    """The weights of the regression.

    Attributes:
      box: of the recogniser's and the finder's log odds, for boxes.
      offsets: for boxes with a text of 1, 2, and 3 or more characters.
      whole: of the recogniser's log odds and the best box's, and an offset, for whole photos.
    """

    box: tuple[float, float] = (0.5, 0.5)
    offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)
    whole: tuple[float, float, float] = (1.0, -0.5, -1.0)

    def confidence(self, scores: tf.Tensor, confidences: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Return the confidence of regions, float32 [B, R], the whole photo first; 0 if absent or with an empty text.

        Args:
          scores: of the finder, float32 [B, R], 0 for absent regions; ignored for whole photos.
          confidences: of the recogniser, float32 [B, R].
          lengths: of the texts, int32 [B, R].
        """
        present = (scores > 0) & (lengths > 0)
        read, found = _log_odds(confidences), _log_odds(tf.where(present, scores, 0.0)[:, 1:])
        best = tf.reduce_max(found, axis=1, keepdims=True)
        whole = self.whole[0] * read[:, :1] + self.whole[1] * best + self.whole[2]
        offsets = tf.gather(tf.constant(self.offsets), tf.clip_by_value(lengths[:, 1:], 1, LENGTHS) - 1)
        boxes = self.box[0] * read[:, 1:] + self.box[1] * found + offsets
        values = tf.sigmoid(tf.concat([whole, boxes], axis=1))
        return tf.where(present, values, 0.0)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "RegionCalibration":
        """Return the calibration that `to_json` stored."""
        return cls(**{field.name: tuple(stored[field.name]) for field in dataclasses.fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as `model_info.json` stores it."""
        return dataclasses.asdict(self)


def _log_odds(probability: tf.Tensor) -> tf.Tensor:
    probability = tf.clip_by_value(probability, LOWEST, HIGHEST)
    return tf.math.log(probability) - tf.math.log1p(-probability)


def fit(
    scores: NDArray[np.floating],
    confidences: NDArray[np.floating],
    lengths: NDArray[np.integer],
    right: NDArray[np.bool_],
) -> RegionCalibration:
    """Fit the weights on regions of labelled photos by maximum likelihood.

    Args:
      scores, confidences, lengths: as in `RegionCalibration.confidence`, [B, R].
      right: whether the region contains a number whose text was read correctly, bool [B, R].
    """
    present, before = (scores > 0) & (lengths > 0), RegionCalibration()
    read = _log_odds(tf.constant(confidences)).numpy()
    found = _log_odds(tf.constant(np.where(present, scores, 0.0)[:, 1:])).numpy()
    kinds = np.eye(LENGTHS)[np.clip(lengths[:, 1:], 1, LENGTHS) - 1]
    features = np.concatenate([np.stack([read[:, 1:], found], axis=-1), kinds], axis=-1)
    of_boxes = present[:, 1:]
    boxes = _regression(features[of_boxes], right[:, 1:][of_boxes], (*before.box, *before.offsets))
    of_whole = np.stack([read[:, 0], found.max(axis=1), np.ones(len(read))], axis=-1)
    one, two, more = boxes[2:]
    reading, finding, offset = _regression(of_whole[present[:, 0]], right[present[:, 0], 0], before.whole)
    return RegionCalibration((boxes[0], boxes[1]), (one, two, more), (reading, finding, offset))


def _regression(
    features: NDArray[np.floating], right: NDArray[np.bool_], before: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the maximum-likelihood weights of features, float [N, F]."""
    from scipy import optimize  # only needed here

    def loss(weights: NDArray[np.float64]) -> float:
        values = features.astype(np.float64) @ weights
        ridge = RIDGE * len(right) * ((weights - before) ** 2).sum() / 100
        return float(np.logaddexp(0, np.where(right, -values, values)).sum() + ridge)

    return tuple(float(weight) for weight in optimize.minimize(loss, np.array(before), method="BFGS").x)
