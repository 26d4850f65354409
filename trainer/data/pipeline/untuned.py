"""Iterate over datasets without TensorFlow's autotuning."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset with the parallelism that it states itself.

    TensorFlow's autotuning starts a thread for each iterator. It sleeps for up to a minute at a time, and deleting an
    iterator waits for the thread, which sometimes misses that it has been woken (TensorFlow 2.21): training then
    stood still for a minute at its end, and after each validation.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
