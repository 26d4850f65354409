"""Iterate over datasets without TensorFlow's autotuning."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset with exactly the parallelism that its operations specify.

    TensorFlow's autotuning starts a thread for each iterator, which sleeps for up to a minute at a time. Deleting an
    iterator waits for that thread, which sometimes misses its wake-up (TensorFlow 2.21): then training hung for a
    minute at its end and after each validation.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
