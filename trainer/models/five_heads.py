"""Parallel heads (Goodfellow et al. 2014): one classifier per position, with a blank class, and one for the length.

They define one distribution over numbers of 1 to T characters,

    log p(number) = log p(length) + sum over positions t < length of log p(character_t | position t),

where p(length) is the length head's probability times the positions' probabilities of being filled or blank,
normalised over the T lengths; and p(character | position) is conditional on the position being filled.

`step` emits the number character by character, so that the loss, beam search, calibration and export treat this model
like any other. Before step t there are t characters; the end token has the log probability of length t given a length
of t or more, a character that of a greater length plus its own at position t. Along any number the lengths telescope
into log p(length): the loss is the exact log likelihood, and so is a candidate's score.
"""

import keras
import tensorflow as tf
from keras import ops

from trainer.config.model import Model

# The log probability of impossible tokens: so low that the others still sum to 1 in float32, but finite, since label
# smoothing gives every token some weight.
IMPOSSIBLE = -20.0


class Heads(keras.Layer):
    """The classifiers over a flattened feature map, after dense layers."""

    def __init__(self, config: Model) -> None:
        super().__init__(name="heads")
        self.places, self.characters = config.max_length, len(config.alphabet)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = [
            keras.layers.Dense(units, activation="relu", name=f"heads_hidden{i}")
            for i, units in enumerate(config.dense_units, start=1)
        ]
        self.dropout = keras.layers.Dropout(config.dropout, name="heads_dropout")
        self.length = keras.layers.Dense(self.places, dtype="float32", name="heads_length")
        self.classes = keras.layers.Dense(self.places * (self.characters + 1), dtype="float32", name="heads_classes")

    def begin(self, features, training=False):
        """Return all log probabilities at once, float32 [B, T + 1, V], and the step number, int32 [B, 1]."""
        x = self.flatten(features)
        for hidden in self.hidden:
            x = hidden(x)
        x = self.dropout(x, training=training)
        classes = ops.reshape(self.classes(x), (-1, self.places, self.characters + 1))
        return token_log_probs(self.length(x), classes), ops.zeros((ops.shape(features)[0], 1), dtype="int32")

    def step(self, tokens, state, memory, training=False):
        """See `Recogniser.step`. Only the number of previous tokens matters."""
        return tf.gather(memory, state, axis=1, batch_dims=1), state + 1, None


def token_log_probs(length, classes):
    """Return log probabilities of the next token after 0..T characters, float32 [B, T + 1, V].

    Args:
      length: logits of the lengths 1..T, float32 [B, T].
      classes: logits of each position's characters, followed by its blank, float32 [B, T, A + 1].
    """
    places = classes.shape[1]
    characters, blank = classes[..., :-1], classes[..., -1]
    filled = ops.logsumexp(characters, axis=-1)
    left_blank = ops.sum(blank, axis=1, keepdims=True) - ops.cumsum(blank, axis=1)
    lengths = ops.log_softmax(length + ops.cumsum(filled, axis=1) + left_blank)
    shorter = ops.triu(ops.ones((places, places)), 1)  # [longer, shorter]: which lengths are below this one
    at_least = ops.logsumexp(lengths[:, None, :] - 1e9 * ops.transpose(shorter), axis=-1)
    impossible = ops.full_like(length[:, :1], IMPOSSIBLE)
    end = ops.concatenate([impossible, lengths - at_least], axis=1)
    longer = ops.concatenate([ops.zeros_like(impossible), at_least[:, 1:] - at_least[:, :-1], impossible], axis=1)
    given_filled = ops.pad(characters - filled[..., None], ((0, 0), (0, 1), (0, 0)))
    start = ops.full_like(end, IMPOSSIBLE)
    return ops.concatenate([given_filled + longer[..., None], start[..., None], end[..., None]], axis=-1)
