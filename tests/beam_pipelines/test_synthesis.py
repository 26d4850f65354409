import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines import synthesis, typefaces


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 2**40))
def test_a_picture_is_a_function_of_seed_and_index(seed: int, index: int) -> None:
    one, other = (synthesis.draw(seed, index, max_digits=5) for _ in range(2))
    assert (one.text, one.char_boxes) == (other.text, other.char_boxes)
    assert one.image.tobytes() == other.image.tobytes()
    assert 1 <= len(one.text) <= 5
    assert len(one.char_boxes) == len(one.text)
    for left, top, right, bottom in one.char_boxes:
        assert 0 <= left <= right <= one.image.width
        assert 0 <= top <= bottom <= one.image.height


def test_all_lengths_and_digits_are_about_as_frequent() -> None:
    texts = [synthesis.draw(1, i, max_digits=5).text for i in range(400)]
    lengths = np.bincount([len(text) for text in texts], minlength=6)[1:]
    digits = np.bincount([int(c) for c in "".join(texts)], minlength=10)
    assert lengths.min() > 50
    assert digits.min() > 80


def test_characters_read_from_left_to_right() -> None:
    for i in range(50):
        drawn = synthesis.draw(2, i, max_digits=5)
        centres = [(box[0] + box[2]) / 2 for box in drawn.char_boxes]
        assert centres == sorted(centres)


def test_there_are_many_typefaces_in_a_fixed_order() -> None:
    faces = typefaces.installed()
    assert len(faces) >= 50
    names = [path.rsplit("/", 1)[-1] for path in faces]
    assert names == sorted(names, key=lambda name: name.rsplit(".", 1)[0])


def test_another_alphabet_is_drawn() -> None:
    assert set(synthesis.draw(3, 0, max_digits=5, alphabet="AB").text) <= set("AB")
