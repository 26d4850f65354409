"""Choose the precision of a run that leaves it to the machine."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf

from trainer.cli import UserError
from trainer.config.schema import Config
from trainer.workdir import files

log = logging.getLogger(__name__)

BATCH = 8, 20, 32, 64  # images, rows, columns and channels of what is timed
REPEATS = 40  # with ten, a busy machine once chose float32 although bfloat16 was 1.9 times as fast
CLEARLY = 1.2  # times as fast; with AVX512-BF16 it is 1.9 times, without 0.7


def chosen(config: Config, workdir: str) -> Config:
    """Return the config with `auto` replaced: by the precision of the run if it has begun, else by the faster one.

    Until the chief has begun the run, each task of a cluster chooses for itself, so on different machines the choices
    may differ.
    """
    if config.precision != "auto":
        return config
    try:
        return replace(config, precision=files.read_config(workdir).precision)
    except UserError:  # a new run, or a damaged config, which the run rewrites
        found = replace(config, precision="mixed_bfloat16" if is_bfloat16_faster() else "float32")
        log.info("precision=%s: the faster one on this machine", found.precision)
        return found


def is_bfloat16_faster() -> bool:
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
