"""The reference network: eight 5x5 convolutions, two wide dense layers, and an LSTM that is fed the image first.

The architecture is the reference's, except that batch normalisation and dropout are active in training.
"""

import keras
from keras import ops

from trainer.config.model import Model
from trainer.models.attention_decoder import step_cell
from trainer.models.encoders import BatchNorm
from trainer.vocab import Vocab

INITIAL_RANGE = 0.08


def uniform() -> keras.initializers.Initializer:
    """Return a new initializer for each variable: a shared one would give equal values to variables of equal shape."""
    return keras.initializers.RandomUniform(-INITIAL_RANGE, INITIAL_RANGE)


class ConvolutionalEncoder(keras.Layer):
    """Convolutions and pooling, then dense layers: [B, H, W, 3] to [B, dense_units[-1]]."""

    def __init__(self, config: Model) -> None:
        super().__init__(name="svhn_encoder")
        self.blocks = [
            ConvBlock(width, strides=strides, dropout=config.dropout, name=f"block{i}")
            for i, (width, strides) in enumerate(zip(config.widths, config.strides, strict=True), start=1)
        ]
        self.flatten = keras.layers.Flatten(name="flatten")
        self.dense = [
            keras.layers.Dense(units, activation="relu", kernel_initializer=uniform(), name=f"dense{i}")
            for i, units in enumerate(config.dense_units, start=1)
        ]

    def call(self, images, training=False):
        x = images
        for block in self.blocks:
            x = block(x, training=training)
        x = self.flatten(x)
        for dense in self.dense:
            x = dense(x)
        return x


class ConvBlock(keras.Layer):
    """Convolution 5x5, batch normalisation, ReLU, max pooling 2x2, dropout."""

    def __init__(self, width: int, *, strides: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        # The normalisation's offset replaces the bias.
        self.conv = keras.layers.Conv2D(
            width, 5, padding="same", use_bias=False, kernel_initializer=uniform(), name="conv"
        )
        self.norm = BatchNorm(name="norm")
        self.pool = keras.layers.MaxPooling2D(2, strides, padding="same")
        self.dropout = keras.layers.Dropout(dropout)

    def call(self, images, training=False):
        x = ops.relu(self.norm(self.conv(images), training=training))
        return self.dropout(self.pool(x), training=training)


class EmbeddingDecoder(keras.Layer):
    """An LSTM fed the image embedding, then the start token and the characters (Vinyals et al. 2015).

    With `image_at_every_step` the image embedding is also added to each token's.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(name="svhn_decoder")
        vocab = Vocab(config.alphabet)
        self.image_at_every_step = config.image_at_every_step
        self.image = keras.layers.Dense(
            config.embedding_units, use_bias=False, kernel_initializer=uniform(), name="image_embedding"
        )
        self.tokens = keras.layers.Embedding(
            vocab.size, config.embedding_units, embeddings_initializer=uniform(), name="token_embedding"
        )
        self.cell = keras.layers.LSTMCell(
            config.lstm_units, kernel_initializer=uniform(), recurrent_initializer=uniform(), name="rnn"
        )
        self.inputs_dropout = keras.layers.Dropout(config.lstm_dropout, name="inputs_dropout")
        self.outputs_dropout = keras.layers.Dropout(config.lstm_dropout, name="outputs_dropout")
        self.logits = keras.layers.Dense(vocab.size, kernel_initializer=uniform(), dtype="float32", name="rnn_logits")

    def begin(self, features, training=False):
        """Return the image embedding, float [B, 1, embedding_units], and the next state, [B, 1, lstm_units] twice."""
        image = self.image(features)[:, None, :]
        nothing = ops.zeros((*ops.shape(image)[:2], self.cell.units), dtype=image.dtype)
        return image, self._lstm(image, (nothing, nothing), training)

    def step(self, tokens, state, memory, training=False):
        """See `Recogniser.step`."""
        inputs = self.tokens(tokens)
        if self.image_at_every_step:
            inputs = inputs + memory
        hidden, cell = self._lstm(inputs, state, training)
        return self.logits(self.outputs_dropout(hidden, training=training)), (hidden, cell), None

    def _lstm(self, inputs, state, training):
        return step_cell(self.cell, self.inputs_dropout(inputs, training=training), state)
