import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.vocab import Vocab


@given(st.text(alphabet="0123456789", min_size=1))
def test_decode_inverts_encode(text: str) -> None:
    vocab = Vocab()
    assert vocab.decode([*vocab.encode(text), vocab.end, 3]) == text


def test_an_alphabet_may_have_more_than_digits() -> None:
    vocab = Vocab("0123456789.ABC")
    assert vocab.decode(vocab.encode("12.5A")) == "12.5A"
    assert (vocab.start, vocab.end, vocab.size) == (14, 15, 16)


def test_foreign_characters_are_named_with_the_alphabet() -> None:
    with pytest.raises(ValueError, match=r"'12a-' has characters outside the alphabet '0123456789': '-', 'a'"):
        Vocab().encode("12a-")


@pytest.mark.parametrize("alphabet", ["", "0120"])
def test_bad_alphabets_are_refused(alphabet: str) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        Vocab(alphabet)


def test_different_alphabets_have_different_fingerprints() -> None:
    assert Vocab("01").fingerprint != Vocab("10").fingerprint


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=5))
def test_decoding_in_a_graph_is_decoding_in_python(ids: list[list[int]]) -> None:
    vocab = Vocab("abc")
    texts = [text.decode() for text in vocab.decode_tensor(np.array(ids, np.int32)).numpy()]
    assert texts == [vocab.decode(row) for row in ids]
