"""Computing in bfloat16 where that is faster."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.beam_pipelines.scoring import drawn_photos
from trainer import Reader, bfloat16, graph, released

FASTER = bfloat16.is_faster()


def test_only_calls_inside_are_rough_and_later_ones_are_as_exact_as_before() -> None:
    """A convolution of weights that bfloat16 cannot represent; it has eight significant bits."""
    images = tf.random.stateless_normal([4, 16, 16, 32], [1, 2])
    weights = tf.random.stateless_normal([3, 3, 32, 32], [3, 4]) / 17
    convolve = graph.compiled(lambda images: tf.nn.relu(tf.nn.conv2d(images, weights, 1, "SAME")))
    before = convolve(images).numpy()
    with bfloat16.graphs():
        inside = convolve(images).numpy()
    np.testing.assert_array_equal(convolve(images).numpy(), before)
    np.testing.assert_allclose(inside, before, atol=0.05)
    if FASTER:
        assert (inside != before).any()


def test_an_error_inside_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), bfloat16.graphs():
        raise ZeroDivisionError
    assert bfloat16.OPTION not in tf.config.optimizer.get_experimental_options()


def test_a_cpu_for_which_onednn_has_no_bfloat16_uses_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise tf.errors.AbortedError(None, None, "could not create a primitive")

    monkeypatch.setattr(tf.nn, "conv2d", missing)
    assert not bfloat16.is_faster()


@pytest.mark.skipif(not FASTER, reason="bfloat16 is not faster on this machine")
@pytest.mark.parametrize("name", [released.FAST, released.PHOTOS])
def test_released_models_read_the_same_texts(name: str, tmp_path: Path) -> None:
    photos = sorted(drawn_photos.write(tmp_path, 12).iterdir())
    exact, rough = (Reader(name, engine="tensorflow", precision=precision) for precision in ("float32", "auto"))
    answers = [list(reader.read_all(photos)) for reader in (exact, rough)]
    assert answers[0] != answers[1]
    for one, other in zip(*answers, strict=True):
        assert one.text == other.text
        assert one.confidence == pytest.approx(other.confidence, abs=0.05)
