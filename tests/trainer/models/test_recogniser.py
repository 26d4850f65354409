"""What is specific to each model; test_every_model tests what they have in common."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import experiments
from trainer.inference.decoding.beam_search import NEVER, beam_search
from trainer.models.crop import Crop
from trainer.models.five_heads import token_log_probs
from trainer.models.recogniser import PureRecogniser

CHARACTERS, START, END = 2, 2, 3


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def numbers_and_log_probs(length: np.ndarray, classes: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return all numbers, with log p(length) + sum log p(character | position), from the heads' logits of one image."""
    heads, blank = log_softmax(classes), log_softmax(classes)[:, -1]
    filled = np.log1p(-np.exp(blank))
    lengths = log_softmax(
        [length[n - 1] + filled[:n].sum() + blank[n:].sum() for n in range(1, len(length) + 1)]  # type: ignore[arg-type]
    )
    return {
        number: float(lengths[n - 1] + sum(heads[t, c] - filled[t] for t, c in enumerate(number)))
        for n in range(1, len(length) + 1)
        for number in itertools.product(range(CHARACTERS), repeat=n)
    }


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), places=st.integers(1, 4))
def test_the_score_of_five_heads_is_that_of_the_length_and_of_each_position(seed: int, places: int) -> None:
    rng = np.random.default_rng(seed)
    length, classes = rng.normal(0, 2, (2, places)), rng.normal(0, 2, (2, places, CHARACTERS + 1))
    memory = token_log_probs(tf.constant(length, tf.float32), tf.constant(classes, tf.float32))
    np.testing.assert_allclose(np.exp(memory).sum(-1), 1, atol=1e-5)
    everything = sum(CHARACTERS**n for n in range(1, places + 1))
    found = beam_search(
        tf.zeros([2, 1], tf.int32),
        lambda tokens, t: (tf.gather(memory, t, axis=1, batch_dims=1), t + 1),
        start=START,
        end=END,
        width=everything,
        max_length=places,
    )
    for index in range(2):
        read = {
            tuple(int(token) for token in row if token != END): float(score)
            for row, score in zip(found.tokens[index].numpy(), found.log_probs[index].numpy(), strict=True)
            if score > NEVER / 2
        }
        wanted = numbers_and_log_probs(length[index], classes[index])
        assert read == pytest.approx(wanted, abs=1e-4)
        assert sum(np.exp(list(read.values()))) == pytest.approx(1, abs=1e-4)


def test_images_are_cropped_in_the_middle_and_in_training_anywhere() -> None:
    columns, rows = np.meshgrid(np.arange(10.0), np.arange(8.0))
    images = tf.constant(np.tile(np.stack([rows, columns, rows], -1)[None], (50, 1, 1, 1)), tf.float32)
    crop = Crop((4, 7))
    np.testing.assert_array_equal(crop(images), images[:, 2:6, 1:8])
    cropped = crop(images, training=True).numpy()
    tops, lefts = cropped[:, 0, 0, 0], cropped[:, 0, 0, 1]
    assert set(tops) == set(range(5))
    assert set(lefts) == set(range(4))
    for top, left, image in zip(tops.astype(int), lefts.astype(int), cropped, strict=True):
        np.testing.assert_array_equal(image, images[0, top : top + 4, left : left + 7])


def test_svhn_rnn_has_the_shape_of_the_reference() -> None:
    recogniser = PureRecogniser(experiments.find("svhn_rnn").model, seed=0)
    shapes = [value.shape for path, value in recogniser.params.items() if path.endswith(("kernel", "embeddings"))]
    widths = [3, 48, 64, 128, 160, 192, 192, 192, 192]
    convolutions = [(5, 5, inputs, outputs) for inputs, outputs in itertools.pairwise(widths)]
    dense = [(4 * 4 * 192, 3072), (3072, 3072), (3072, 512)]
    rnn = [(12, 512), (512, 4 * 64), (64, 4 * 64), (64, 12)]
    assert [shape for shape in shapes if len(shape) == 4] == convolutions
    assert sorted(shape for shape in shapes if len(shape) == 2) == sorted(dense + rnn)
    kernels = [value for path, value in recogniser.params.items() if path.endswith("kernel")]
    assert all(0.079 < np.abs(kernel).max() <= 0.08 for kernel in kernels if kernel.size > 5_000)


@pytest.mark.parametrize("every_step", [False, True])
def test_svhn_rnn_is_shown_the_image_first_or_at_every_step(every_step: bool) -> None:
    """Unless the model gets the image at every step, the decoder sees it only through its state."""
    wanted = experiments.find("smoke").model
    model = dataclasses.replace(wanted, name="svhn_rnn", image_at_every_step=every_step)
    recogniser = PureRecogniser(model, seed=0)
    images = tf.random.stateless_uniform([2, 16, 32, 3], [0, 0], -1, 1)
    memory, state = recogniser.encode(recogniser.params, recogniser.state, images)
    tokens = tf.fill([2, 1], 10)
    seen, _, attention = recogniser.step(recogniser.params, tokens, state, memory)
    unseen, _, _ = recogniser.step(recogniser.params, tokens, state, tf.zeros_like(memory))
    assert attention is None
    assert np.array_equal(seen, unseen) != every_step
