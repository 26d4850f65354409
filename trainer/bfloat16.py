"""Measure whether this machine computes faster in bfloat16, and run graphs in it."""

import contextlib
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

BATCH, REPEATS = (8, 20, 32, 64), 5  # the timed input: images, rows, columns, channels; how often it is timed
CLEARLY = 1.2  # times as fast; measured: 1.9 times with AVX512-BF16, 0.7 times without
OPTION = "auto_mixed_precision_onednn_bfloat16"


def is_faster() -> bool:
    """Return whether convolutions are clearly faster in bfloat16 than in float32; measuring takes under a second."""
    try:
        timed = [_convolution(dtype) for dtype in (tf.float32, tf.bfloat16)]
        pairs = [[_seconds(convolution) for convolution in timed] for _ in range(REPEATS)]
    except tf.errors.OpError:  # oneDNN has no bfloat16 for this CPU
        return False
    in_float32, in_bfloat16 = map(min, zip(*pairs, strict=True))
    return in_float32 > CLEARLY * in_bfloat16


def _convolution(dtype: tf.DType) -> Callable[[], tf.Tensor]:
    images = tf.ones(BATCH, dtype)
    weights = tf.ones([3, 3, BATCH[-1], BATCH[-1]], dtype)
    return lambda: tf.nn.conv2d(images, weights, 1, "SAME")


def _seconds(compute: Callable[[], tf.Tensor]) -> float:
    begin = time.perf_counter()
    compute().numpy()  # waits for a GPU
    return time.perf_counter() - begin


@contextlib.contextmanager
def graphs() -> Iterator[None]:
    """Let functions that are called within the block compute in bfloat16 on the CPU; this has no effect on a GPU.

    TensorFlow decides for each operation: convolutions and matrix products use bfloat16, exponentials and long sums
    stay in float32. If a function is also called outside the block, TensorFlow keeps both variants.
    """
    before = tf.config.optimizer.get_experimental_options().get(OPTION)
    tf.config.optimizer.set_experimental_options({OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({OPTION: before})
