"""The recogniser: Keras layers with the methods `encode` and `step`."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from trainer.config.model import Model
from trainer.models.attention_decoder import AttentionDecoder
from trainer.models.crop import Crop
from trainer.models.encoders import ResidualEncoder
from trainer.models.five_heads import Heads
from trainer.models.pure import PureNetwork, Values
from trainer.models.svhn_rnn import ConvolutionalEncoder, EmbeddingDecoder
from trainer.vocab import Vocab


class Recogniser(keras.Layer):
    """Reads a character sequence from an image: `encode` once, then `step` for each character.

    A model consists of an encoder and a decoder: the encoder turns images into features, the decoder's `begin` turns
    these into a memory and an initial state, and its `step` uses both to read one character.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(name="recogniser")
        self.config = config
        self.vocab = Vocab(config.alphabet)
        self.crop = Crop(config.crop) if config.crop else None
        self.encoder, self.decoder = _parts(config)

    def build(self, images_shape, tokens_shape):
        """Leave building to the sublayers, each on its first call."""
        self.built = True

    def encode(self, images, training=False):
        """Return the decoder's memory and its state before the first step, for images, float [B, H, W, 3] in -1..1.

        Both are structures of tensors: the memory of [B, ...], the state of [B, 1, ...].
        """
        if self.crop:
            images = self.crop(images, training=training)
        return self.decoder.begin(self.encoder(images, training=training), training=training)

    def step(self, tokens, state, memory, training=False):
        """Run one decoding step.

        Args:
          tokens: int32 [B, K], the last token of each of K hypotheses per image.
          state: from `encode` or the last step, [B, K, ...].
          memory: from `encode`; the hypotheses of an image share it.
        Returns:
          Logits, float32 [B, K, V]; the next state; the attention, float [B, K, P], or None if the model has none.
        """
        return self.decoder.step(tokens, state, memory, training=training)

    def call(self, images, tokens, training=False):
        """Return the logits with teacher forcing, float32 [B, T, V], for images and the tokens fed, int32 [B, T]."""
        memory, state = self.encode(images, training=training)
        logits = []
        for t in range(tokens.shape[1]):
            at_t, state, _ = self.step(tokens[:, t : t + 1], state, memory, training=training)
            logits.append(at_t)
        return ops.concatenate(logits, axis=1)


def _parts(config: Model) -> tuple[keras.Layer, keras.Layer]:
    """Return the encoder and the decoder of the configured model."""
    if config.name == "svhn_rnn":
        return ConvolutionalEncoder(config), EmbeddingDecoder(config)
    if config.name == "five_heads":
        return ResidualEncoder(config), Heads(config)
    return ResidualEncoder(config), AttentionDecoder(config, math.prod(config.map_size))


class PureRecogniser(PureNetwork):
    """A recogniser whose methods take the values of its variables."""

    layer: Recogniser

    def __init__(self, config: Model, *, seed: int, precision: str = "float32") -> None:
        images = ops.zeros((1, config.image_height, config.image_width, 3))
        tokens = ops.zeros((1, 1), dtype="int32")  # all steps share the variables of the first
        super().__init__(lambda: Recogniser(config), images, tokens, seed=seed, precision=precision)
        self.config = config

    def teach(self, params: Mapping[str, Any], state: Mapping[str, Any], images, tokens, *, step) -> tuple[Any, Values]:
        """Return logits in training mode and the next state; randomness depends only on the layer and `step`."""
        return self.run_training(params, state, images, tokens, step=step)

    def follow(self, params: Mapping[str, Any], state: Mapping[str, Any], images, tokens) -> Any:
        """Return the logits in inference mode, float32 [B, T, V], for images and the tokens fed, int32 [B, T]."""
        with self.holding(params, state):
            return self.layer(images, tokens)

    def encode(self, params: Mapping[str, Any], state: Mapping[str, Any], images) -> tuple[Any, Any]:
        """Run `Recogniser.encode` in inference mode."""
        with self.holding(params, state):
            return self.layer.encode(images)

    def step(self, params: Mapping[str, Any], tokens, state, memory) -> tuple[Any, Any, Any]:
        """Run `Recogniser.step` in inference mode."""
        with self.holding(params, {}):
            return self.layer.step(tokens, state, memory)
