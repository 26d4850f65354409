"""The attention LSTM decoder: one character per step, each attending to the whole feature map."""

import keras
from keras import ops

from trainer.config.model import Model
from trainer.vocab import Vocab


class AttentionDecoder(keras.Layer):
    """An LSTM with input feeding (Luong et al. 2015): each step sees the last token and the last context.

    States are tuples of tensors [B, K, ...], with K hypotheses per image (1 in training), so that beam search
    can reorder them; `memory` is shared by the hypotheses of an image.
    """

    def __init__(self, config: Model, positions: int) -> None:
        super().__init__(name="decoder")
        vocab = Vocab(config.alphabet)
        self.scale = config.attention_units**-0.5
        self.tokens = keras.layers.Embedding(vocab.size, config.embedding_units, name="tokens")
        self.steps = keras.layers.Embedding(config.max_length + 1, config.attention_units, name="steps")
        self.positions = keras.layers.Embedding(positions, config.attention_units, name="positions")
        self.keys = keras.layers.Dense(config.attention_units, use_bias=False, name="keys")
        self.values = keras.layers.Dense(config.lstm_units, use_bias=False, name="values")
        self.query = keras.layers.Dense(config.attention_units, use_bias=False, name="query")
        self.cell = keras.layers.LSTMCell(config.lstm_units, name="lstm")
        self.first_state = keras.layers.Dense(2 * config.lstm_units, activation="tanh", name="first_state")
        self.hidden = keras.layers.Dense(config.lstm_units, activation="relu", name="hidden")
        self.dropout = keras.layers.Dropout(config.dropout, name="dropout")
        self.logits = keras.layers.Dense(vocab.size, dtype="float32", name="logits")

    def begin(self, features, training=False):
        """Return `memory` and `first` for a feature map, float [B, P, C]."""
        return self.memory(features), self.first(features)

    def memory(self, features):
        """Return keys and values, float [B, attention_units, P] and [B, P, lstm_units], for a feature map [B, P, C]."""
        keys = self.keys(features) + self.positions(ops.arange(features.shape[1]))
        return ops.transpose(keys, (0, 2, 1)) * self.scale, self.values(features)

    def first(self, features):
        """Return the state before the first step: step number, hidden and cell state, context; each [B, 1, ...]."""
        hidden, cell = ops.split(self.first_state(ops.mean(features, axis=1, keepdims=True)), 2, axis=-1)
        step = ops.zeros(ops.shape(hidden)[:2], dtype="int32")
        return step, hidden, cell, ops.zeros_like(hidden)

    def step(self, tokens, state, memory, training=False):
        """See `Recogniser.step`."""
        step, hidden, cell, context = state
        keys, values = memory
        inputs = ops.concatenate([self.tokens(tokens), context], axis=-1)
        hidden, cell = step_cell(self.cell, inputs, (hidden, cell))
        query = self.query(hidden) + self.steps(step)
        attention = ops.softmax(ops.matmul(query, keys))
        context = ops.matmul(attention, values)
        joined = self.hidden(ops.concatenate([hidden, context], axis=-1))
        logits = self.logits(self.dropout(joined, training=training))
        return logits, (step + 1, hidden, cell, context), attention


def step_cell(cell: keras.layers.LSTMCell, inputs, state):
    """Run one LSTM step of all hypotheses: inputs [B, K, I] and (hidden, cell) [B, K, U] to the next (hidden, cell)."""

    def flat(x):
        return ops.reshape(x, (-1, x.shape[-1]))

    def unflat(x):
        return ops.reshape(x, (*ops.shape(inputs)[:2], cell.units))

    _, (hidden, carried) = cell(flat(inputs), [flat(x) for x in state])
    return unflat(hidden), unflat(carried)
