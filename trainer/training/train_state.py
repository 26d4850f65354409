"""The train state: the variables, the loss, and one step on a batch."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.config.schema import Config
from trainer.models.recogniser import PureRecogniser
from trainer.training.optimizer import FusedOptimizer
from trainer.vocab import Vocab


@dataclass(frozen=True)
class Replicas:
    """This replica's index, the replica count, and the all-reduce function; each replica has its slice of the batch."""

    index: int = 0
    count: int = 1
    sum: Callable[[list[tf.Tensor]], list[tf.Tensor]] = lambda tensors: tensors


ALONE = Replicas()


class TrainState:
    """A recogniser with the variables that training updates, by path.

    Attributes:
      params: updated by gradients.
      state: the statistics of batch normalisation.
      step: the number of steps completed, int64 [].
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.vocab = Vocab(config.model.alphabet)
        self.recogniser = PureRecogniser(config.model, seed=config.seed, precision=config.precision)
        self.params = {path: tf.Variable(value, name=path) for path, value in self.recogniser.params.items()}
        self.state = {
            path: tf.Variable(value, name=path, trainable=False) for path, value in self.recogniser.state.items()
        }
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
        """Return all that a restart needs. The input pipeline needs nothing: its position is the step."""
        return tf.train.Checkpoint(
            params=self.params,
            state=self.state,
            averages=self.optimizer.averages,
            slots=self.optimizer.slots,
            step=self.step,
        )

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Return the cross entropy per token, teacher-forced, over the label and its end token.

        Args:
          params, state: values by path.
          batch: `image` float32 [B, H, W, 3], `tokens` int32 [B, T].
          step: the seed of dropout.
        Returns:
          The loss, float32 []; the next state, `token_accuracy` float32 [], and the number of tokens, float32 [].
        """
        targets = batch["tokens"]
        fed = tf.concat([tf.fill([tf.shape(targets)[0], 1], self.vocab.start), targets[:, :-1]], axis=1)
        fed.set_shape(targets.shape)
        logits, next_state = self.recogniser.teach(params, state, batch["image"], fed, step=step)
        counts = target_weights(targets, self.vocab.end)
        total = tf.reduce_sum(counts)
        smoothing = self.config.optimizer.label_smoothing
        floor = smoothing / self.vocab.size
        wanted = tf.one_hot(targets, self.vocab.size, 1.0 - smoothing + floor, floor)
        losses = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
        right = tf.cast(tf.argmax(logits, -1, tf.int32) == targets, tf.float32)
        accuracy = tf.reduce_sum(right * counts) / total
        return tf.reduce_sum(losses * counts) / total, (next_state, accuracy, total)

    def train_step(self, batch: dict[str, tf.Tensor], replicas: Replicas = ALONE) -> dict[str, tf.Tensor]:
        """Run one step on one batch: update all variables, and return `loss` and other figures, float32 [].

        With several replicas, `batch` is this one's slice, and each applies the step of the whole batch: gradients
        and figures are means over all its tokens. Batch norm normalises by the slice's own statistics; the moving
        statistics are updated by the mean over the replicas.
        """
        with tf.GradientTape() as tape:
            values = {path: tf.convert_to_tensor(v) for path, v in self.params.items()}
            tape.watch(list(values.values()))
            before = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
            seed = self.step * replicas.count + replicas.index
            loss, (after, accuracy, tokens) = self.loss(self._whole(values), before, batch, seed)
        # Gradients of embeddings are sparse, with an index per token: only dense ones can be summed and clipped.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, list(values.values()))]
        moves = [after[path] - value for path, value in before.items()]
        if replicas.count > 1:
            means = [mean * tokens for mean in (loss, accuracy, *gradients)]
            total, *sums = replicas.sum([tokens, *means, *moves])
            loss, accuracy, *gradients = [value / total for value in sums[: len(means)]]
            moves = [value / replicas.count for value in sums[len(means) :]]
        figures = self.optimizer.apply(dict(zip(values, gradients, strict=True)), self.params, self.step)
        for variable, move in zip(self.state.values(), moves, strict=True):
            variable.assign_add(move)
        self.step.assign_add(1)
        return {"loss": loss, "token_accuracy": accuracy, **figures}


def target_weights(targets: tf.Tensor, end: int) -> tf.Tensor:
    """Return 1 for each token up to and including the first end token, else 0: float32, of the shape of `targets`."""
    ended_before = tf.cumsum(tf.cast(targets == end, tf.int32), axis=-1, exclusive=True)
    return tf.cast(ended_before == 0, tf.float32)
