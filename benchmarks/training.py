"""Measure the training speed of the three models on random images, relative to the machine's peak, and where time goes.

`python -m benchmarks.training`
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MODELS = ("compact", "five_heads", "svhn_rnn")
PEAK_SIDE = 2048  # of the matrix product that measures the machine's peak


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def peak_flops(repeats: int) -> float:
    """Return the floating-point operations per second of a large float32 matrix product."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([PEAK_SIDE, PEAK_SIDE], [1, 2])
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    return 2 * PEAK_SIDE**3 / median_seconds(lambda: product().numpy(), repeats)


def flops(function: Any, batch: dict[str, Any]) -> int:
    """Return the floating-point operations of one call, as TensorFlow's profiler counts them."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    graph = convert_variables_to_constants_v2(function.get_concrete_function(batch)).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    profile = tf.compat.v1.profiler.profile(graph, options=options.with_empty_output().build())
    return profile.total_float_ops


def random_images(model: Any, count: int) -> Any:
    """Return labelled images of random pixels and digits, of the size that a model takes."""
    import tensorflow as tf

    from trainer.data.pipeline import input_pipeline

    rng = np.random.default_rng(0)
    return input_pipeline.LabelledImages(
        images=tf.constant(rng.integers(0, 256, (count, model.image_height, model.image_width, 3), np.uint8)),
        tokens=rng.integers(0, 11, (count, model.max_length + 1)).astype(np.int32),
        keys=[str(i) for i in range(count)],
        texts=["0"] * count,
        sources=["none"] * count,
        fingerprints=np.zeros((count, 3), np.int64),
        datasets=np.zeros(count, np.int64),
        corners=np.zeros((count, 0, 8), np.float32),
        paths=(),
        rows=np.arange(count),
        model=model,
    )


def speed(name: str, repeats: int, peak: float) -> dict[str, Any]:
    """Measure the examples per second of one model: steps on one batch, input alone, and both together."""
    import tensorflow as tf

    from trainer.config import experiments
    from trainer.data.pipeline import input_pipeline
    from trainer.training.train_state import TrainState

    wanted = experiments.find(name)
    size = wanted.data.batch_size
    images = random_images(wanted.model, 4 * size)
    train_state = TrainState(wanted)
    batches = iter(input_pipeline.training_batches(images, wanted, first_step=0))
    batch = next(batches)
    step = tf.function(train_state.train_step)
    forward = tf.function(lambda b: train_state.loss(train_state.params, train_state.state, b, train_state.step).mean)
    work = flops(forward, batch) / size
    alone = median_seconds(lambda: step(batch)["loss"].numpy(), repeats)
    reading = median_seconds(lambda: next(batches)["image"].numpy(), repeats)
    together = median_seconds(lambda: step(next(batches))["loss"].numpy(), repeats)
    return {
        "model": name,
        "batch_size": size,
        "parameters": sum(int(tf.size(p)) for p in train_state.params.values()),
        "forward_mflop": work / 1e6,
        "step_examples_per_second": size / alone,
        "input_examples_per_second": size / reading,
        "training_examples_per_second": size / together,
        "share_of_peak": 3 * work * size / alone / peak,  # a step is counted as three forward passes
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path, help="also write the results to this file, as JSON")
    args = parser.parse_args()
    peak = peak_flops(args.repeats)
    print(f"peak {peak / 1e9:.0f} GFLOP/s, float32 matrix product of side {PEAK_SIDE}")
    rows = [speed(name, args.repeats, peak) for name in MODELS]
    for row in rows:
        print("  ".join(f"{k} {v:,.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if args.output:
        args.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
