"""The loss on a batch."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Loss:
    """The loss on one batch.

    Attributes:
      mean: float32 [].
      next_state: the values of the state after the batch, by path.
      figures: further means, float32 [] by name.
      weight: how many tokens or boxes the means are over, float32 []; it weights the replicas' means.
    """

    mean: tf.Tensor
    next_state: dict[str, Any]
    figures: dict[str, tf.Tensor]
    weight: tf.Tensor
