"""The finder: a fully convolutional, anchor-free network that finds numbers in a photo.

Each cell of its output map predicts the probability that the centre of a number lies in it (CenterNet, Zhou et al.
2019), the distances to the four sides of the number's oriented box, and the direction of the box (EAST, Zhou et al.
2017). Coarser maps, which see more of the photo, are added to finer ones (feature pyramid, Lin et al. 2017).
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from trainer.config.model import Model
from trainer.models.encoders import ConvNorm
from trainer.models.pure import PureNetwork, Values

CELL = 8  # pixels of the input per cell of the map, in each direction
COARSEST = 32  # pixels per cell of the coarsest map: the sides of the input must be multiples of it
CHANNELS = 7  # the logit of a centre, four distances, and the cosine and the sine of the direction
PRIOR = -4.6  # the initial logit of every cell, a probability of 1 %, so that the loss starts small


class Finder(keras.Layer):
    """Takes float [B, H, W, 3] in -1..1, H and W multiples of `COARSEST`; returns float32 [B, H/8, W/8, `CHANNELS`]."""

    def __init__(self, config: Model) -> None:
        super().__init__(name="finder")
        stem, *widths = config.widths
        neck = config.neck_units
        self.stem = ConvNorm(stem, kernel=5, strides=2, name="stem")
        self.stages = [
            Stage(width, blocks=blocks, name=f"stage{i}")
            for i, (width, blocks) in enumerate(zip(widths, config.blocks, strict=True), start=1)
        ]
        self.merges = [Merge(neck, name=f"merge{i}") for i in range(len(widths) - 2)]
        self.top = ConvNorm(neck, kernel=1, strides=1, name="top")
        self.head = ConvNorm(neck, kernel=3, strides=1, name="head")
        self.out = keras.layers.Conv2D(
            CHANNELS, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), dtype="float32", name="out"
        )

    def build(self, images_shape):
        """Leave building to the sublayers, each on its first call."""
        self.built = True

    def call(self, images, training=False):
        x = self.stem(images, training=training)
        levels = []
        for stage in self.stages:
            x = stage(x, training=training)
            levels.append(x)
        x = self.top(levels[-1], training=training)
        for merge, level in zip(self.merges, reversed(levels[1:-1]), strict=True):
            x = merge(x, level, training=training)
        maps = self.out(self.head(x, training=training))
        return maps + ops.convert_to_tensor([PRIOR, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])


class Stage(keras.Layer):
    """A convolution that halves the map, then pairs of convolutions with a residual connection around each pair."""

    def __init__(self, width: int, *, blocks: int, name: str) -> None:
        super().__init__(name=name)
        self.halve = ConvNorm(width, kernel=3, strides=2, name="halve")
        self.pairs = [
            [ConvNorm(width, kernel=3, strides=1, name=f"block{i}{part}") for part in "ab"]
            for i in range(1, blocks + 1)
        ]

    def call(self, x, training=False):
        x = self.halve(x, training=training)
        for first, second in self.pairs:
            x = x + second(first(x, training=training), training=training)
        return x


class Merge(keras.Layer):
    """Upsamples a coarse map by 2 (nearest neighbour, as bilinear is slow on CPUs), and adds a finer one to it."""

    def __init__(self, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self.double = keras.layers.UpSampling2D(2)
        self.lateral = ConvNorm(width, kernel=1, strides=1, name="lateral")
        self.refine = ConvNorm(width, kernel=3, strides=1, name="refine")

    def call(self, coarse, fine, training=False):
        x = self.double(coarse) + self.lateral(fine, training=training)
        return self.refine(x, training=training)


class PureFinder(PureNetwork):
    """A finder whose methods take the values of its variables."""

    layer: Finder

    def __init__(self, config: Model, *, seed: int, precision: str = "float32") -> None:
        images = ops.zeros((1, COARSEST, COARSEST, 3))
        super().__init__(lambda: Finder(config), images, seed=seed, precision=precision)
        self.config = config

    def teach(self, params: Mapping[str, Any], state: Mapping[str, Any], images, *, step) -> tuple[Any, Values]:
        """Return the map in training mode and the next state."""
        return self.run_training(params, state, images, step=step)

    def look(self, params: Mapping[str, Any], state: Mapping[str, Any], images) -> Any:
        """Return the map in inference mode."""
        with self.holding(params, state):
            return self.layer(images)
