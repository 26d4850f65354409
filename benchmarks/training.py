"""Measure the training speed of the three models on random images, relative to the machine's peak, and where time goes.

`python -m benchmarks.training`
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import machine, rows
from benchmarks.rows import HIGHER, Row
from trainer.cluster import environment

MODELS = ("compact", "five_heads", "svhn_rnn")
TRAINING = "training"  # the row of a model with both, steps and input


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


def speed(name: str, repeats: int, peak: Row) -> list[Row]:
    """Measure the examples per second of one model: steps on one batch, input alone, and both together."""
    from trainer import graph
    from trainer.config import experiments
    from trainer.data.pipeline import input_pipeline
    from trainer.training.train_state import TrainState

    wanted = experiments.find(name)
    size = wanted.data.batch_size
    images = random_images(wanted.model, 4 * size)
    train_state = TrainState(wanted)
    batches = iter(input_pipeline.training_batches(images, wanted, first_step=0))
    batch = next(batches)
    step = graph.compiled(train_state.train_step)
    loss = graph.compiled(lambda b: train_state.loss(train_state.params, train_state.state, b, train_state.step).mean)
    work = flops(loss, batch) / size
    parameters = sum(variable.shape.num_elements() for variable in train_state.params.values())
    print(f"{name}: batch {size}, {parameters:,} parameters, {work / 1e6:,.0f} MFLOP forward for each example")

    def rate(what: str, work: Callable[[], Any]) -> Row:
        return Row(f"{name}: {what}", "examples/s", [size / each for each in machine.seconds(work, repeats)], HIGHER)

    alone = rate("steps", lambda: step(batch)["loss"].numpy())
    reading = rate("input", lambda: next(batches)["image"].numpy())
    together = rate(TRAINING, lambda: step(next(batches))["loss"].numpy())
    shares = [3 * work * value / 1e9 / peak.median for value in alone.values]  # a step counts as three forward passes
    alone = replace(alone, ratio_to=peak.name, ratios=shares)
    return [alone, reading, together.relative_to(alone)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--repeats", type=int, default=15)
    rows.add_argument(parser)
    args = parser.parse_args()
    environment.configure()
    peaks = machine.peaks(args.repeats)
    done = [*peaks, *(row for name in args.models for row in speed(name, args.repeats, peaks[0]))]
    print("\n".join(map(rows.line, done)))
    rows.write(args.json, done)


if __name__ == "__main__":
    main()
