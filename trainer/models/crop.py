"""Cropping inside the model: anywhere while it learns, in the middle when it reads."""

import keras
import tensorflow as tf
from keras import ops


class Crop(keras.Layer):
    """Cuts [B, height, width, 3] out of images [B, H, W, 3]; in training each at a place of its own."""

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
