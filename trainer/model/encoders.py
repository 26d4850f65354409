"""Encoders: pictures to a feature map."""

import keras

from trainer.config import Model


class ResidualEncoder(keras.Layer):
    """A stem with stride 2, then residual stages that halve the map each (He et al. 2016, with ReLU behind).

    Takes float [B, H, W, 3] and returns float [B, P, widths[-1]], P = rows x columns of the last map.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(name="encoder")
        stem, *stages = config.widths
        self.stem = ConvNorm(stem, kernel=5, strides=2, name="stem")
        self.stages = [ResidualStage(width, name=f"stage{i}") for i, width in enumerate(stages, start=1)]
        self.to_sequence = keras.layers.Reshape((-1, config.widths[-1]))

    def call(self, images, training=False):
        x = self.stem(images, training=training)
        for stage in self.stages:
            x = stage(x, training=training)
        return self.to_sequence(x)


class ResidualStage(keras.Layer):
    """Max pooling by 2, a convolution to the new width, and one with a residual connection around it."""

    def __init__(self, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self.pool = keras.layers.MaxPooling2D(2, padding="same")
        self.widen = ConvNorm(width, kernel=3, strides=1, name="widen")
        self.refine = ConvNorm(width, kernel=3, strides=1, name="refine")

    def call(self, x, training=False):
        x = self.widen(self.pool(x), training=training)
        return x + self.refine(x, training=training)


class ConvNorm(keras.Layer):
    """Convolution without bias, batch normalisation (Ioffe & Szegedy 2015), ReLU."""

    def __init__(self, width: int, *, kernel: int, strides: int, name: str) -> None:
        super().__init__(name=name)
        self.conv = keras.layers.Conv2D(
            width, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name="conv"
        )
        self.norm = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name="norm")

    def call(self, x, training=False):
        return keras.ops.relu(self.norm(self.conv(x), training=training))
