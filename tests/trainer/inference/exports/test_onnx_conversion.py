"""What ONNX lacks is computed as TensorFlow does, and weights that are stored as float16 lose nothing."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from trainer.data.pipeline import preprocess
from trainer.inference.exports import onnx_conversion


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def resizing() -> onnxruntime.InferenceSession:
    inputs = [tf.TensorSpec([None, None, None, 3], tf.uint8, "images"), tf.TensorSpec([2], tf.int32, "size")]

    def resize(images: tf.Tensor, size: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"resized": tf.image.resize(images, size, antialias=True)}

    return session(onnx_conversion.convert(resize, inputs, half=False))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 99),
)
@example((1, 38, 35), (35, 38), 0)  # here TensorFlow itself is 0.00099 off
@example((2, 40, 37), (50, 23), 1)
@example((1, 40, 33), (50, 47), 5)
def test_images_are_resized_exactly(
    resizing: onnxruntime.InferenceSession, shape: tuple[int, int, int], size: tuple[int, int], seed: int
) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    [resized] = resizing.run(None, {"images": images, "size": np.array(size, np.int32)})
    # Where to sample is computed in float32: with two roundings in each of two axes, at up to the longest side.
    rounding = 255 * 4 * max(*shape[1:], *size) * 2**-24
    np.testing.assert_allclose(resized, exactly_resized(images, size), rtol=0, atol=min(1e-3, rounding))


@pytest.mark.parametrize(
    ("shape", "size"), [((2, 40, 37), (50, 23)), ((1, 40, 40), (7, 50)), ((1, 1, 40), (50, 50)), ((3, 5, 9), (5, 9))]
)
def test_the_exact_values_are_those_of_tensorflow(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    resized = tf.image.resize(images, size, antialias=True)
    np.testing.assert_allclose(resized, exactly_resized(images, size), rtol=0, atol=1e-3)


def exactly_resized(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return images [B, H, W, 3] resized bilinearly, with antialiasing, to a height and width."""
    down, across = triangles(images.shape[1], size[0]), triangles(images.shape[2], size[1])
    return np.einsum("yh,bhwc,xw->byxc", down, images, across)


def triangles(source: int, target: int) -> NDArray[np.float64]:
    """Return the exact weight of each pixel of one side in each pixel of the resized side, float64 [target, source]."""
    middles = (np.arange(target) + 0.5) * source / target
    away = np.abs(np.arange(source) + 0.5 - middles[:, np.newaxis])
    weights = np.maximum(0, 1 - away / max(1.0, source / target))
    return weights / weights.sum(axis=1, keepdims=True)


def test_letterboxed_photos_are_the_same_but_for_single_values() -> None:
    """Also where the sides have a simple ratio, so that many resized values are halves but for the last bit."""
    spec = tf.TensorSpec([None, None, 3], tf.uint8, "photo")
    converted = onnx_conversion.convert(
        lambda photo: {"padded": preprocess.letterbox(photo, 64, 64)}, [spec], half=False
    )
    loaded = session(converted)
    for seed, size in enumerate([(80, 60), (60, 80), (100, 33), (20, 64), (64, 128), (7, 5)]):
        photo = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        [padded] = loaded.run(None, {"photo": photo})
        expected = preprocess.letterbox(tf.constant(photo), 64, 64).numpy()
        np.testing.assert_allclose(padded.astype(int), expected.astype(int), atol=1)
        assert np.sum(padded != expected) <= 3  # of 12,288; 11 if halves were rounded to even


def test_logarithms_of_values_near_1_are_exact() -> None:
    spec = tf.TensorSpec([None], tf.float32, "x")
    converted = onnx_conversion.convert(
        lambda x: {"minus": tf.math.expm1(x), "plus": tf.math.log1p(x)}, [spec], half=False
    )
    values = np.array([-20, -1, -1e-3, -1e-6, -1e-9, 0, 1e-7, 0.5], np.float32)
    minus, plus = session(converted).run(["minus", "plus"], {"x": values})
    np.testing.assert_allclose(minus, np.expm1(values.astype(np.float64)), rtol=1e-6)
    finite = values > -1
    np.testing.assert_allclose(plus[finite], np.log1p(values[finite].astype(np.float64)), atol=1e-7)


def test_only_weights_that_lose_nothing_are_stored_as_float16() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(40, 50)).astype(np.float32)
    halved = whole.astype(np.float16).astype(np.float32)

    def product(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"whole": x @ whole, "halved": x @ halved}

    spec = tf.TensorSpec([None, 40], tf.float32, "x")
    model = onnx_conversion.convert(product, [spec], half=True)
    large = [numpy_helper.to_array(stored) for stored in model.graph.initializer]
    assert sorted(str(values.dtype) for values in large if values.size == 2000) == ["float16", "float32"]
    x = rng.normal(size=(3, 40)).astype(np.float32)
    computed = dict(zip(["whole", "halved"], session(model).run(["whole", "halved"], {"x": x}), strict=True))
    np.testing.assert_allclose(computed["whole"], x @ whole, atol=1e-5)
    np.testing.assert_allclose(computed["halved"], x @ halved, atol=1e-5)
