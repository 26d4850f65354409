"""The train state: the variables, the loss, and one step on a batch."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.config.schema import Config
from trainer.training.loss import Loss
from trainer.training.objective import objective_of
from trainer.training.optimizer import FusedOptimizer


@dataclass(frozen=True)
class Replicas:
    """This replica's index, the replica count, and the all-reduce function; each replica has its slice of the batch."""

    index: int = 0
    count: int = 1
    sum: Callable[[list[tf.Tensor]], list[tf.Tensor]] = lambda tensors: tensors


ALONE = Replicas()


class TrainState:
    """A network with the variables that training updates, by path.

    Attributes:
      params: updated by gradients.
      state: the statistics of batch normalisation.
      step: the number of steps completed, int64 [].
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.objective = objective_of(config)
        initial = self.objective.network
        self.params = {path: tf.Variable(value, name=path) for path, value in initial.params.items()}
        self.state = {path: tf.Variable(value, name=path, trainable=False) for path, value in initial.state.items()}
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._whole: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: values
        self.optimizer = FusedOptimizer(config.optimizer, self.params, total_steps=config.train.steps)

    @property
    def reading_params(self) -> dict[str, tf.Variable]:
        """The parameters for inference: the moving averages, if enabled."""
        return self.optimizer.averages or self.params

    @property
    def count(self) -> str:
        """The number of parameters, formatted for display."""
        return f"{sum(p.shape.num_elements() for p in self.params.values()):,}"

    def groups(self) -> dict[str, dict[str, tf.Variable]]:
        """Return all variables by kind, and by path in each kind."""
        return {
            "params": self.params,
            "slots": self.optimizer.slots,
            "averages": self.optimizer.averages,
            "state": self.state,
            "step": {"step": self.step},
        }

    @property
    def size(self) -> int:
        """The size of all variables in bytes."""
        return sum(v.shape.num_elements() * v.dtype.size for group in self.groups().values() for v in group.values())

    def placed(
        self,
        place: Callable[[dict[str, tf.Variable]], dict[str, tf.Variable]],
        whole: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    ) -> "TrainState":
        """Return a train state of other variables, with the same values.

        Args:
          place: creates the variables of each of the `groups`.
          whole: assembles whole parameters from their values if `place` partitions some; see `placement`.
        """
        placed = {kind: place(group) for kind, group in self.groups().items()}
        other = copy.copy(self)
        other.optimizer = copy.copy(self.optimizer)
        other.optimizer.slots, other.optimizer.averages = placed["slots"], placed["averages"]
        other.params, other.state, other.step = placed["params"], placed["state"], placed["step"]["step"]
        other._whole = whole or self._whole
        return other

    def checkpointed(self) -> tf.train.Checkpoint:
        """Return what a restart needs. The input pipeline has no state of its own: its position is the step."""
        return tf.train.Checkpoint(
            params=self.params,
            state=self.state,
            averages=self.optimizer.averages,
            slots=self.optimizer.slots,
            step=self.step,
        )

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> Loss:
        """Return the loss of the objective."""
        return self.objective.loss(params, state, batch, step)

    def train_step(self, batch: dict[str, tf.Tensor], replicas: Replicas = ALONE) -> dict[str, tf.Tensor]:
        """Run one step on one batch: update all variables, and return `loss` and other figures, float32 [].

        With several replicas, `batch` is this one's slice, and each applies the step of the whole batch: gradients
        and figures are means over all its tokens or boxes. Batch norm normalises by the slice's own statistics; the
        moving statistics are updated by the mean over the replicas.
        """
        with tf.GradientTape() as tape:
            values = {path: tf.convert_to_tensor(v) for path, v in self.params.items()}
            tape.watch(list(values.values()))
            before = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
            seed = self.step * replicas.count + replicas.index
            loss = self.loss(self._whole(values), before, batch, seed)
        # Gradients of embeddings are sparse, with an index per token, but only dense ones can be summed and clipped.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss.mean, list(values.values()))]
        moves = [loss.next_state[path] - value for path, value in before.items()]
        shown = {"loss": loss.mean, **loss.figures}
        if replicas.count > 1:
            means = [mean * loss.weight for mean in (*shown.values(), *gradients)]
            total, *sums = replicas.sum([loss.weight, *means, *moves])
            averaged = [value / total for value in sums[: len(means)]]
            shown, gradients = dict(zip(shown, averaged, strict=False)), averaged[len(shown) :]
            moves = [value / replicas.count for value in sums[len(means) :]]
        figures = self.optimizer.apply(dict(zip(values, gradients, strict=True)), self.params, self.step)
        for variable, move in zip(self.state.values(), moves, strict=True):
            variable.assign_add(move)
        self.step.assign_add(1)
        return {**shown, **figures}
