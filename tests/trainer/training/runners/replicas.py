"""Train some steps on synchronous replicas; a program, since a strategy must precede any other TensorFlow operation.

`python -m tests.trainer.training.runners.replicas OUTPUT.npz`: on two logical devices of this process, or, where
TF_CONFIG is set, with the other workers. The joint batch of each step is the same in all ways; the weights
afterwards go to OUTPUT.
With `early` as a second argument, the second worker leaves as soon as the first has nothing left but to close.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.cluster import environment
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config import experiments, schema
from trainer.data.pipeline import input_pipeline
from trainer.exit_status import leave
from trainer.training.runners import strategies
from trainer.training.train_state import TrainState

STEPS = 3
COUNT = 21  # images, which no batch divides
SETTINGS = ["distortion.colour=false", "distortion.noise=0", "distortion.rotate_degrees=0", "distortion.shear=0"]
SETTINGS += ["distortion.scale=[1,1]", "distortion.stretch=0", "distortion.shift=0", "distortion.perspective=0"]
SETTINGS += ["model.dropout=0", "optimizer.warmup_steps=1", "data.batch_size=8"]


def wanted() -> schema.Config:
    return schema.override(experiments.find("smoke"), SETTINGS)


def images() -> input_pipeline.LabelledImages:
    """Return noise with labels of different lengths, so that slices have different numbers of tokens."""
    rng = np.random.default_rng(1)
    model = wanted().model
    lengths = rng.integers(1, model.max_length + 1, COUNT)
    tokens = np.where(np.arange(model.max_length + 1) < lengths[:, None], rng.integers(0, 10, (COUNT, 1)), 11)
    return input_pipeline.LabelledImages(
        images=tf.constant(rng.integers(0, 256, (COUNT, model.image_height, model.image_width, 3)), tf.uint8),
        tokens=tokens.astype(np.int32),
        keys=[str(i) for i in range(COUNT)],
        texts=[""] * COUNT,
        sources=[""] * COUNT,
        fingerprints=np.zeros((COUNT, 2), np.int64),
        datasets=np.zeros(COUNT, np.int64),
        corners=np.zeros((COUNT, 0, 8), np.float32),
        paths=(),
        rows=np.arange(COUNT),
        model=model,
    )


def values(train_state: TrainState) -> dict[str, np.ndarray]:
    """Return all variables by group and name."""
    return {f"{kind}:{name}": v.numpy() for kind, group in train_state.groups().items() for name, v in group.items()}


def main() -> None:
    task = environment.configure()
    name = "multi-worker" if task.jobs else "mirrored"
    if not task.jobs:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    watchdog, limits = Watchdog(60.0), Limits()
    runner = strategies.connect(name, task, wanted(), watchdog, limits)
    train_state = TrainState(wanted())
    runner.begin(train_state, images(), lambda: None)
    figures = runner.run_steps(STEPS, threading.Event())
    if task.is_chief:
        results: dict[str, Any] = {"loss": figures["loss"], **values(train_state)}
        np.savez(sys.argv[1], **results)
    if sys.argv[2:] == ["early"] and not task.is_chief:
        while not Path(sys.argv[1]).exists():
            time.sleep(0.1)
    else:
        runner.close()
    leave(0)


if __name__ == "__main__":
    main()
