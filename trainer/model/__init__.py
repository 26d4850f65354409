"""The recogniser: Keras layers behind `encode` and `step`, evaluated as pure functions of their variables.

Keras makes the layers; the values live in dictionaries by variable path that the caller owns, since
Keras's own assignments and optimizers lose updates under parameter servers.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from trainer.config import Model
from trainer.model.decoder import AttentionDecoder
from trainer.model.encoders import ResidualEncoder
from trainer.vocab import Vocab


class Recogniser(keras.Layer):
    """Reads a character sequence from a picture. `encode` once, then `step` for each character."""

    def __init__(self, config: Model) -> None:
        super().__init__(name="recogniser")
        self.config = config
        self.vocab = Vocab(config.alphabet)
        self.encoder = ResidualEncoder(config)
        rows, columns = config.image_height, config.image_width
        for stride in config.strides:
            rows, columns = -(-rows // stride), -(-columns // stride)
        self.decoder = AttentionDecoder(config, rows * columns)

    def build(self, images_shape, tokens_shape):
        """Leaves building to the parts, each when it is first called."""
        self.built = True

    def encode(self, images, training=False):
        """Pictures, float [B, H, W, 3] in -1..1, to the decoder's memory and its state before the first step."""
        features = self.encoder(images, training=training)
        return self.decoder.memory(features), self.decoder.first(features)

    def step(self, tokens, state, memory, training=False):
        """See `AttentionDecoder.step`."""
        return self.decoder.step(tokens, state, memory, training=training)

    def call(self, images, tokens, training=False):
        """Teacher forcing: pictures and the tokens fed, int32 [B, T], to logits, float32 [B, T, V]."""
        memory, state = self.encode(images, training=training)
        logits = []
        for t in range(tokens.shape[1]):
            at_t, state, _ = self.step(tokens[:, t : t + 1], state, memory, training=training)
            logits.append(at_t)
        return ops.concatenate(logits, axis=1)


Values = dict[str, Any]


class PureRecogniser:
    """A recogniser whose methods take its variables' values.

    Attributes:
      params: initial values of what is trained, by path.
      state: initial values of what moves otherwise (batch norm statistics), by path.
    """

    def __init__(self, config: Model, *, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.config = config
        self.layer = Recogniser(config)
        self.layer(
            ops.zeros((1, config.image_height, config.image_width, 3)),
            ops.zeros((1, config.max_length + 1), dtype="int32"),
        )
        self._params = {v.path: v for v in self.layer.trainable_variables}
        seeds = {v.path: v for v in self.layer.non_trainable_variables if v.path.endswith("seed_generator_state")}
        self._state = {v.path: v for v in self.layer.non_trainable_variables if v.path not in seeds}
        self._seeds = seeds

    @property
    def params(self) -> Values:
        return {path: ops.convert_to_numpy(v) for path, v in self._params.items()}

    @property
    def state(self) -> Values:
        return {path: ops.convert_to_numpy(v) for path, v in self._state.items()}

    def teach(self, params: Mapping[str, Any], state: Mapping[str, Any], images, tokens, *, step) -> tuple[Any, Values]:
        """Logits in training mode, and the state after it; dropout is a function of the variable and `step`."""
        mapping = self._mapping(params, state)
        for path, variable in self._seeds.items():
            seed = ops.stack([ops.convert_to_tensor(zlib.crc32(path.encode()) >> 1, "int64"), ops.cast(step, "int64")])
            mapping.append((variable, ops.cast(seed, variable.dtype)))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logits = self.layer(images, tokens, training=True)
        moved = {path: scope.get_current_value(v) for path, v in self._state.items()}
        return logits, {path: state[path] if value is None else value for path, value in moved.items()}

    def encode(self, params: Mapping[str, Any], state: Mapping[str, Any], images) -> tuple[Any, Any]:
        """`Recogniser.encode` for reading."""
        with keras.StatelessScope(state_mapping=self._mapping(params, state)):
            return self.layer.encode(images)

    def step(self, params: Mapping[str, Any], tokens, state, memory) -> tuple[Any, Any, Any]:
        """`Recogniser.step` for reading."""
        with keras.StatelessScope(state_mapping=self._mapping(params, {})):
            return self.layer.step(tokens, state, memory)

    def _mapping(self, params: Mapping[str, Any], state: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        return [(self._params[path], value) for path, value in params.items()] + [
            (self._state[path], value) for path, value in state.items()
        ]
