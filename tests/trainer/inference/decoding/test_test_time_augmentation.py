from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.config import experiments, schema
from trainer.inference.decoding import test_time_augmentation
from trainer.inference.predictor import Predictor
from trainer.models.recogniser import PureRecogniser


def images() -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (3, 16, 32, 3)), tf.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_what_beam_search_carries_goes_there_and_back(count: int, batch: int, beams: int, units: int) -> None:
    state = tf.random.stateless_normal([count * batch, beams, units], [1, 2])
    carried = test_time_augmentation.together(state, count)
    assert carried.shape == (batch, beams, count, units)
    np.testing.assert_array_equal(carried[0, 0], tf.reshape(state, [count, batch, beams, units])[:, 0, 0])
    np.testing.assert_array_equal(test_time_augmentation.apart(carried), state)


def test_a_closer_view_magnifies_the_middle_and_a_farther_one_repeats_the_border() -> None:
    ramp = tf.tile(tf.linspace(-1.0, 1.0, 33)[tf.newaxis, tf.newaxis, :, tf.newaxis], [1, 17, 1, 3])
    as_it_is, closer, farther = tf.split(test_time_augmentation.of(ramp, (1.0, 2.0, 0.5)), 3)
    np.testing.assert_array_equal(as_it_is, ramp)
    np.testing.assert_allclose(closer[0, 8, :, 0], np.linspace(-0.5, 0.5, 33), atol=1e-5)
    np.testing.assert_allclose(farther[0, 8, 8:25:2, 0], np.linspace(-1, 1, 9), atol=1e-5)
    assert (farther[0, 8, :8, 0].numpy() == -1).all()


def test_a_tilted_view_is_turned_clockwise_around_the_middle() -> None:
    image = np.zeros((1, 33, 33, 3), np.float32)
    image[0, 16, 8] = 1.0  # to the left of the middle
    as_it_is, turned = tf.split(test_time_augmentation.of(tf.constant(image), (1.0,), (90.0,)), 2)
    np.testing.assert_array_equal(as_it_is, image)
    np.testing.assert_allclose(turned[0, 8, 16], 1.0, atol=1e-3)  # now above it
    assert float(tf.reduce_sum(turned)) == pytest.approx(3.0, abs=1e-2)


def test_a_closer_look_is_at_what_was_attended_to() -> None:
    across = tf.linspace(0.0, 1.0, 33)[tf.newaxis, tf.newaxis, :, tf.newaxis]
    ramp = tf.tile(across, [2, 17, 1, 3])
    attention = np.zeros((2, 2, 8), np.float32)
    attention[0, :, 5] = 0.5  # one column, both rows: its middle is at 5.5 / 8
    attention[1] = 1 / 16
    seen = test_time_augmentation.closer(ramp, tf.constant(attention)).numpy()
    margin = test_time_augmentation.REACH_ACROSS[1]
    np.testing.assert_allclose(seen[0, 8, [0, 16, 32], 0], 5.5 / 8 + margin * np.array([-1, 0, 1]), atol=1e-4)
    np.testing.assert_allclose(seen[1], ramp[1], atol=1e-4)


def test_looking_closer_reads_alike_in_any_batch_and_is_refused_without_attention() -> None:
    wanted = schema.override(
        experiments.find("smoke"), ["decode.closer=true", "decode.views=[0.9,1.0]", "decode.tilts=[-8,8]"]
    )
    recogniser = PureRecogniser(wanted.model, seed=0)
    predictor = Predictor(recogniser, recogniser.params, recogniser.state, wanted)
    together, alone = predictor.read(images()), predictor.read(images()[1:2])
    np.testing.assert_array_equal(together["text"][1:2], alone["text"])
    np.testing.assert_allclose(together["log_prob"][1:2], alone["log_prob"], atol=1e-4)
    with pytest.raises(UserError, match="only compact"):
        schema.override(experiments.find("five_heads"), ["decode.closer=true"])


def test_a_model_looks_closer_while_it_is_trained_in_bfloat16() -> None:
    wanted = schema.override(experiments.find("smoke"), ["decode.closer=true", "decode.views=[0.9,1.0]"])
    recogniser = PureRecogniser(wanted.model, seed=0, precision="mixed_bfloat16")
    found = Predictor(recogniser, recogniser.params, recogniser.state, wanted).read(images())
    assert np.isfinite(found["log_prob"]).all()


def test_views_are_averaged_as_log_probabilities() -> None:
    probabilities = np.array([[[[0.8, 0.1, 0.1]]], [[[0.2, 0.6, 0.2]]]], np.float32)  # [views, B, K, V]
    offsets = np.array([5.0, -3.0]).reshape(2, 1, 1)  # logits are log probabilities up to a constant
    logits = tf.constant(np.log(probabilities[:, 0]) + offsets, tf.float32)
    mean = test_time_augmentation.agreed(logits, 2)
    np.testing.assert_allclose(mean, np.log(probabilities).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("experiment", ["smoke", "five_heads"])
def test_equal_views_agree_with_one(experiment: str) -> None:
    wanted = schema.override(experiments.find(experiment), ["model.image_height=16", "model.image_width=32"])
    recogniser = PureRecogniser(wanted.model, seed=0)
    outs = []
    for zooms in ((1.0,), (1.0, 1.0, 1.0)):
        seen = replace(wanted, decode=replace(wanted.decode, views=zooms))
        outs.append(Predictor(recogniser, recogniser.params, recogniser.state, seen).read(images()))
    np.testing.assert_array_equal(outs[0]["text"], outs[1]["text"])
    np.testing.assert_allclose(outs[0]["log_prob"], outs[1]["log_prob"], atol=1e-4)
