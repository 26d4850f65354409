"""Run steps in a single process, on one device."""

import threading
from collections.abc import Callable

import tensorflow as tf

from trainer import graph
from trainer.config.schema import Config
from trainer.data.pipeline import input_pipeline
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.training.runners.base import Runner, mean_figures
from trainer.training.train_state import TrainState


class Single(Runner):
    """Runs steps in this process."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def begin(self, train_state: TrainState, images: LabelledImages, restore: Callable[[], str | None]) -> None:
        self.train_state = train_state
        self.batches = iter(input_pipeline.training_batches(images, self.config, first_step=self.read_step()))
        self.step_once = graph.compiled(train_state.train_step, jit_compile=self.config.train.jit_compile)

    def read_step(self) -> int:
        return int(self.train_state.step.numpy())

    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        figures: list[dict[str, tf.Tensor]] = []
        while len(figures) < count and not stop.is_set():
            figures.append(self.step_once(next(self.batches)))
            self.stepped(1)
        return mean_figures(figures)
