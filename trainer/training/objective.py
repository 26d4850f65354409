"""The objectives that a network is trained for: to read the number in an image, or to find the numbers in a photo."""

from typing import Any, Protocol

import tensorflow as tf

from trainer.config.schema import Config
from trainer.models.pure import PureNetwork
from trainer.training.finding import Finding
from trainer.training.loss import Loss
from trainer.training.reading import Reading
from trainer.training.validation import Validated


class Objective(Protocol):
    """A network and its loss.

    Attributes:
      network: has the initial values of all variables.
      figure: the name of the figure that is logged with the loss.
    """

    figure: str

    @property
    def network(self) -> PureNetwork: ...

    def predictor(self, params: Any, state: Any) -> Validated:
        """Return a predictor or a finder with these values, given by path."""

    def embed(self, params: Any, state: Any, images: tf.Tensor) -> tf.Tensor:
        """Return an embedding of images, float32 [B, D], for TensorBoard's projector."""

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> Loss:
        """Return the loss on a batch.

        Args:
          params, state: values by path.
          batch: from the input pipeline.
          step: the seed of dropout.
        """


def objective_of(config: Config) -> Objective:
    """Return what the configured model is trained for."""
    return Finding(config) if config.model.finds else Reading(config)
