"""What is trained: the variables, the loss, and one step on a batch."""

from typing import Any

import tensorflow as tf

from trainer.config import Config
from trainer.model import PureRecogniser
from trainer.optimizer import FusedOptimizer
from trainer.vocab import Vocab


class Learner:
    """A recogniser with the variables that training moves, by path.

    Attributes:
      params: what gradients move; state: batch norm statistics; step: how many steps were made, int64 [].
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
        self.optimizer = FusedOptimizer(config.optimizer, self.params, total_steps=config.train.steps)

    @property
    def reading_params(self) -> dict[str, tf.Variable]:
        """The parameters that numbers are read with: the moving averages, where there are any."""
        return self.optimizer.averages or self.params

    def checkpointed(self) -> tf.train.Checkpoint:
        """All that a restart needs. The input needs nothing: its position is the step."""
        return tf.train.Checkpoint(
            params=self.params,
            state=self.state,
            averages=self.optimizer.averages,
            slots=self.optimizer.slots,
            step=self.step,
        )

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Cross entropy a token, teacher-forced, over the label and its end token; what follows does not count.

        Args:
          params, state: values by path.
          batch: `image` float32 [B, H, W, 3], `tokens` int32 [B, T].
          step: the seed of dropout.
        Returns:
          The loss, float32 []; the next state; `token_accuracy`, float32 [].
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
        return tf.reduce_sum(losses * counts) / total, (next_state, accuracy)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on one batch: moves all variables, and returns `loss` and other figures, float32 []."""
        paths = list(self.params)
        with tf.GradientTape() as tape:
            values = {path: tf.convert_to_tensor(self.params[path]) for path in paths}
            tape.watch(list(values.values()))
            before = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
            loss, (after, accuracy) = self.loss(values, before, batch, self.step)
        gradients = dict(zip(paths, tape.gradient(loss, [values[path] for path in paths]), strict=True))
        figures = self.optimizer.apply(gradients, self.params, self.step)
        for path, variable in self.state.items():
            variable.assign_add(after[path] - before[path])
        self.step.assign_add(1)
        return {"loss": loss, "token_accuracy": accuracy, **figures}


def target_weights(targets: tf.Tensor, end: int) -> tf.Tensor:
    """1 for each token up to and including the first end token, else 0: float32, of the shape of `targets`."""
    ended_before = tf.cumsum(tf.cast(targets == end, tf.int32), axis=-1, exclusive=True)
    return tf.cast(ended_before == 0, tf.float32)
