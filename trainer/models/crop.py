"""Cropping inside the model: random in training, centred in inference."""

import keras
import tensorflow as tf
from keras import ops


class Crop(keras.Layer):
    """Crops images [B, H, W, 3] to [B, height, width, 3]; in training each image at its own random position."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__(name="crop")
        self.size = size
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, images, training=False):
        for axis, size in enumerate(self.size, start=1):
            spare = images.shape[axis] - size
            if training:
                first = keras.random.randint((ops.shape(images)[0], 1), 0, spare + 1, seed=self.seeds)
                images = tf.gather(images, first + ops.arange(size), axis=axis, batch_dims=1)
            else:
                images = tf.gather(images, spare // 2 + ops.arange(size), axis=axis)
        return images
