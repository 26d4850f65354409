"""Train the recogniser: its loss is the cross entropy of the characters."""

import math
from typing import Any

import tensorflow as tf

from trainer.config.schema import Config
from trainer.inference.predictor import Predictor
from trainer.models.recogniser import PureRecogniser
from trainer.training.loss import Loss
from trainer.training.teacher import Teacher
from trainer.vocab import Vocab


class Reading:
    """The recogniser with its loss on batches of `image` float32 [B, H, W, 3] and `tokens` int32 [B, T]."""

    figure = "token_accuracy"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.network = PureRecogniser(config.model, seed=config.seed, precision=config.precision)
        self.vocab, self.smoothing = Vocab(config.model.alphabet), config.optimizer.label_smoothing
        self.teacher = Teacher(config.train.teacher, config.model) if config.train.teacher else None

    def predictor(self, params: Any, state: Any) -> Predictor:
        """Return a predictor with these values by path."""
        return Predictor(self.network, params, state, self.config)

    def embed(self, params: Any, state: Any, images: tf.Tensor) -> tf.Tensor:
        """Return the decoder's state before the first character.

        If the state has no floats (`five_heads` computes all its answers at once), return the memory.
        """
        memory, first = self.network.encode(params, state, images)

        def floating(values: Any) -> list[tf.Tensor]:
            return [tf.cast(x, tf.float32) for x in tf.nest.flatten(values) if x.dtype.is_floating]

        parts = floating(first) or floating(memory)
        return tf.concat([tf.reshape(x, [tf.shape(x)[0], math.prod(x.shape[1:])]) for x in parts], axis=-1)

    def loss(self, params: Any, state: Any, batch: dict[str, tf.Tensor], step: tf.Tensor) -> Loss:
        """Return the cross entropy per token, over the label and its end token, each given the correct previous ones.

        With `train.teacher`, the targets are mixed with the teacher's probabilities.
        """
        targets = batch["tokens"]
        fed = tf.concat([tf.fill([tf.shape(targets)[0], 1], self.vocab.start), targets[:, :-1]], axis=1)
        fed.set_shape(targets.shape)
        logits, next_state = self.network.teach(params, state, batch["image"], fed, step=step)
        counts = target_weights(targets, self.vocab.end)
        total = tf.reduce_sum(counts)
        floor = self.smoothing / self.vocab.size
        wanted = tf.one_hot(targets, self.vocab.size, 1.0 - self.smoothing + floor, floor)
        if self.teacher:
            weight = self.config.train.teacher_weight
            wanted = (1.0 - weight) * wanted + weight * self.teacher.probabilities(batch["image"], fed)
        losses = tf.nn.softmax_cross_entropy_with_logits(wanted, logits)
        right = tf.cast(tf.argmax(logits, -1, tf.int32) == targets, tf.float32)
        accuracy = tf.reduce_sum(right * counts) / total
        return Loss(tf.reduce_sum(losses * counts) / total, next_state, {self.figure: accuracy}, total)


def target_weights(targets: tf.Tensor, end: int) -> tf.Tensor:
    """Return 1 for each token up to and including the first end token, else 0: float32, the same shape as `targets`."""
    ended_before = tf.cumsum(tf.cast(targets == end, tf.int32), axis=-1, exclusive=True)
    return tf.cast(ended_before == 0, tf.float32)
