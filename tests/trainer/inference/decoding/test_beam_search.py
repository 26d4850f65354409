import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.inference.decoding import beam_width
from trainer.inference.decoding.beam_search import NEVER, beam_search

CHARS, START, END, VOCAB = 3, 3, 4, 5


class MarkovModel:
    """A model whose logits depend on the image, the step and the last token; its state counts the steps."""

    def __init__(self, seed: int, batch: int, steps: int, *, sharpness: float = 2.0) -> None:
        rng = np.random.default_rng(seed)
        self.logits = tf.constant(rng.normal(0, sharpness, (batch, steps, VOCAB, VOCAB)), tf.float32)
        self.first = (tf.zeros([batch, 1], tf.int32), tf.range(batch)[:, tf.newaxis])

    def step(self, tokens: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]):
        step, image = state
        return tf.gather_nd(self.logits, tf.stack([image, step, tokens], axis=-1)), (step + 1, image)

    def exhaustive(self, image: int, max_length: int) -> list[tuple[float, tuple[int, ...]]]:
        """Return all sequences with their log probabilities, best first."""
        log_probs = tf.nn.log_softmax(self.logits[image]).numpy().astype(np.float64)
        found = []
        for length in range(1, max_length + 1):
            for sequence in itertools.product(range(CHARS), repeat=length):
                total, last = 0.0, START
                for t, token in enumerate((*sequence, END)):
                    total += log_probs[t, last, token]
                    last = token
                found.append((total, sequence))
        return sorted(found, reverse=True)


def search(model: MarkovModel, width: int, max_length: int) -> list[list[tuple[float, tuple[int, ...]]]]:
    found = beam_search(model.first, model.step, start=START, end=END, width=width, max_length=max_length)
    return [
        [(float(p), tuple(int(t) for t in row if t != END)) for p, row in zip(log_probs, tokens, strict=True)]
        for log_probs, tokens in zip(found.log_probs.numpy(), found.tokens.numpy(), strict=True)
    ]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), max_length=st.integers(1, 4))
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed: int, max_length: int) -> None:
    model = MarkovModel(seed, batch=2, steps=max_length + 1)
    everything = sum(CHARS**n for n in range(1, max_length + 1))
    for image, found in enumerate(search(model, everything, max_length)):
        wanted = model.exhaustive(image, max_length)
        real = [(p, s) for p, s in found if p > NEVER / 2]
        assert {s for _, s in real} == {s for _, s in wanted}
        np.testing.assert_allclose([p for p, _ in real], [p for p, _ in wanted], rtol=1e-4, atol=1e-4)


def test_a_beam_twice_as_wide_as_the_candidates_finds_the_most_probable() -> None:
    """Which one as wide as the candidates does not, but for the best."""
    model, missed = MarkovModel(7, batch=100, steps=5, sharpness=3.0), {}
    wanted = [model.exhaustive(image, 4)[:3] for image in range(100)]
    for width in (3, beam_width.width_for(3)):
        found = search(model, width, 4)
        missed[width] = sum([s for _, s in f[:3]] != [s for _, s in w] for f, w in zip(found, wanted, strict=True))
    assert missed[3] > 80
    assert missed[6] < 20


@pytest.mark.parametrize("empty", [False, True])
def test_the_empty_sequence_is_found_only_where_it_may_be(empty: bool) -> None:
    model = MarkovModel(5, batch=3, steps=4)
    found = beam_search(model.first, model.step, start=START, end=END, width=100, max_length=3, empty=empty)
    probability = tf.nn.log_softmax(model.logits[:, 0, START]).numpy()[:, END]
    for image in range(3):
        is_empty = (found.tokens[image].numpy() == END).all(axis=-1) & (found.log_probs[image].numpy() > NEVER / 2)
        assert is_empty.sum() == int(empty)
        if empty:
            assert found.log_probs[image].numpy()[is_empty][0] == pytest.approx(probability[image], abs=1e-5)


def test_tokens_have_the_probability_that_they_had_when_they_were_chosen() -> None:
    model = MarkovModel(6, batch=4, steps=4)
    found = beam_search(model.first, model.step, start=START, end=END, width=8, max_length=3)
    log_probs = tf.nn.log_softmax(model.logits).numpy()
    for image, hypothesis in itertools.product(range(4), range(8)):
        last, ended = START, False
        for t, token in enumerate(found.tokens[image, hypothesis].numpy()):
            wanted = 0.0 if ended else log_probs[image, t, last, token]
            assert found.token_log_probs[image, hypothesis, t].numpy() == pytest.approx(wanted, abs=1e-4)
            last, ended = token, ended or token == END


@pytest.mark.parametrize("max_length", [1, 2, 5, 8])
def test_every_length_can_be_read(max_length: int) -> None:
    """Five-digit numbers end, too: their end token counts."""
    for length in range(1, max_length + 1):
        logits = np.full((1, max_length + 1, VOCAB, VOCAB), -5.0)
        for t in range(max_length + 1):
            logits[:, t, :, 1 if t < length else END] = 5.0
        model = MarkovModel(0, 1, max_length + 1)
        model.logits = tf.constant(logits, tf.float32)
        (best, *_), *_ = search(model, 3, max_length)
        assert best[1] == (1,) * length
        assert best[0] == pytest.approx(model.exhaustive(0, max_length)[0][0], abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_width_1_is_greedy(seed: int) -> None:
    model = MarkovModel(seed, batch=3, steps=5)
    log_probs = tf.nn.log_softmax(model.logits).numpy()
    for image, ((_, found),) in enumerate(search(model, 1, 4)):
        last, wanted = START, []
        for t in range(4):
            row = log_probs[image, t, last].copy()
            row[START] = -np.inf
            if t == 0:
                row[END] = -np.inf
            last = int(row.argmax())
            if last == END:
                break
            wanted.append(last)
        assert list(found) == wanted


def test_the_answer_does_not_depend_on_the_batch() -> None:
    model = MarkovModel(3, batch=6, steps=5)
    together = search(model, 3, 4)
    for i in range(6):
        alone = MarkovModel(3, batch=6, steps=5)
        alone.logits = alone.logits[i : i + 1]
        alone.first = (tf.zeros([1, 1], tf.int32), tf.zeros([1, 1], tf.int32))
        assert [s for _, s in search(alone, 3, 4)[0]] == [s for _, s in together[i]]
