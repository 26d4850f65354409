import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from beam_pipelines.synthesis import colour
from trainer.data.pipeline import color_jitter

# What a file can hold; for chroma within rounding of zero each library has a hue of its own.
images = arrays(np.uint8, (3, 4, 3)).map(lambda pixels: (pixels / 255).astype(np.float32))


def assert_same(ours: np.ndarray, theirs: tf.Tensor) -> None:
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


@settings(deadline=None)
@given(images, st.floats(-0.125, 0.125), st.floats(0.5, 1.5))
def test_brightness_and_contrast_are_tensorflows(pixels: np.ndarray, delta: float, factor: float) -> None:
    assert_same(colour.adjust_brightness(pixels, delta), tf.image.adjust_brightness(pixels, delta))
    assert_same(colour.adjust_contrast(pixels, factor), tf.image.adjust_contrast(pixels, factor))


@settings(deadline=None)
@given(images, st.floats(0.5, 1.5))
def test_saturation_is_tensorflows(pixels: np.ndarray, factor: float) -> None:
    assert_same(colour.adjust_saturation(pixels, factor), tf.image.adjust_saturation(pixels, factor))


@settings(deadline=None)
@given(images, st.floats(-0.25, 0.25))
def test_hue_is_tensorflows(pixels: np.ndarray, delta: float) -> None:
    assert_same(colour.adjust_hue(pixels, delta), tf.image.adjust_hue(pixels, delta))


@pytest.mark.parametrize("order", color_jitter.ORDERS)
def test_distortion_is_the_four_in_one_of_the_orders(order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(color_jitter, "ORDERS", (order, order))
    pixels = np.random.default_rng(0).uniform(0.2, 0.8, (8, 8, 3)).astype(np.float32)
    ours = colour.distort(pixels, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    delta = rng.uniform(-color_jitter.BRIGHTNESS_DELTA, color_jitter.BRIGHTNESS_DELTA)
    saturation = rng.uniform(*color_jitter.SATURATION_RANGE)
    hue = rng.uniform(-color_jitter.HUE_DELTA, color_jitter.HUE_DELTA)
    contrast = rng.uniform(*color_jitter.CONTRAST_RANGE)
    theirs = {
        "brightness": lambda x: tf.image.adjust_brightness(x, delta),
        "saturation": lambda x: tf.image.adjust_saturation(x, saturation),
        "hue": lambda x: tf.image.adjust_hue(x, hue),
        "contrast": lambda x: tf.image.adjust_contrast(x, contrast),
    }
    wanted = tf.constant(pixels)
    for name in order:
        wanted = theirs[name](wanted)
    assert_same(ours, tf.clip_by_value(wanted, 0, 1))
