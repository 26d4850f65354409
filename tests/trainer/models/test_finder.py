import numpy as np
import pytest
import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.models.finder import CELL, CHANNELS, PRIOR, PureFinder

SMALL = ["model.widths=[4,8,8,8,8]", "model.blocks=[0,1,0,0]", "model.neck_units=8"]


def small() -> schema.Config:
    return schema.override(experiments.find("finder"), SMALL)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (160, 32)])
def test_an_image_of_any_size_gives_a_map(height: int, width: int) -> None:
    finder = PureFinder(small().model, seed=0)
    said = finder.look(finder.params, finder.state, tf.zeros([2, height, width, 3]))
    assert said.shape == (2, height // CELL, width // CELL, CHANNELS)
    assert said.dtype == tf.float32


def test_at_first_nothing_is_found_and_boxes_are_level() -> None:
    finder = PureFinder(small().model, seed=0)
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], -1, 1)
    said = finder.look(finder.params, finder.state, images).numpy()
    np.testing.assert_allclose(said[..., 0], PRIOR, atol=0.5)
    np.testing.assert_allclose(said[..., 5:], np.broadcast_to([1, 0], said[..., 5:].shape), atol=0.5)


def test_the_released_size_stays_within_its_limits() -> None:
    finder = PureFinder(experiments.find("finder").model, seed=0)
    assert sum(value.size for value in finder.params.values()) < 1.5e6


@pytest.mark.parametrize(
    "setting",
    ["model.image_height=100", "model.strides=[2,2,2,2,1]", "model.blocks=[1]", "model.crop=[32,32]"],
)
def test_settings_that_cannot_work_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match="finder"):
        schema.override(experiments.find("finder"), [setting])
