"""Batches of all sizes share one graph: to trace another takes seconds, more than it takes to read most of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.config import experiments, schema
from trainer.data.pipeline import input_pipeline
from trainer.inference.photos.number_finder import NumberFinder
from trainer.inference.predictor import Predictor
from trainer.training.train_state import TrainState

SMALL = ["model.image_height=64", "model.image_width=64", "model.widths=[4,8,8,8,8]", "model.blocks=[0,0,0,0]"]
FINDER = schema.override(experiments.find("finder"), [*SMALL, "model.neck_units=8", "data.eval_batch_size=16"])


def counted(method: Callable, calls: list[int]) -> Callable:
    def call(*args: object, **kwargs: object) -> object:
        calls.append(1)
        return method(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("config", "reader", "name"),
    [(experiments.find("smoke"), Predictor, "search"), (FINDER, NumberFinder, "find")],
    ids=["recogniser", "finder"],
)
def test_the_last_and_smaller_batch_and_the_few_that_tensorboard_shows_trace_nothing_more(
    config: schema.Config, reader: type, name: str, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[int] = []
    monkeypatch.setattr(reader, name, counted(getattr(reader, name), traced))
    train_state = TrainState(config)
    predictor = train_state.objective.predictor(train_state.params, train_state.state)
    images = input_pipeline.load([str(tiny_dataset)], "train", config)
    assert len(predictor.shown(images.select(np.arange(3)))) == 3
    predictor.validate(images.select(np.arange(20)))
    assert len(traced) == 1
