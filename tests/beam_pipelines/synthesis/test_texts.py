from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines import synthesize
from beam_pipelines.synthesis import texts
from trainer.cli import UserError
from trainer.vocab import DIGITS


def drawn(lengths: str, digits: str, count: int = 4000, max_digits: int = 5) -> list[str]:
    wanted = texts.from_options(lengths, digits, max_digits=max_digits, alphabet=DIGITS)
    rng = np.random.default_rng(0)
    return [wanted.draw(rng) for _ in range(count)]


def test_uniform_is_uniform() -> None:
    found = drawn("uniform", "uniform")
    lengths = Counter(map(len, found))
    digits = Counter("".join(found))
    assert set(lengths) == {1, 2, 3, 4, 5}
    assert min(lengths.values()) > 700
    assert set(digits) == set(DIGITS)
    assert min(digits.values()) > 1000


def test_house_numbers_have_no_leading_zero_and_benford_first_digits() -> None:
    found = drawn("house", "benford")
    first = Counter(text[0] for text in found)
    assert "0" not in first
    assert first["1"] / len(found) == pytest.approx(0.301, abs=0.03)
    assert Counter(map(len, found)).most_common(1)[0][0] == 3


def test_weights_and_labels_of_csv_files(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text("length,weight\n2,3\n4,1\n7,9\n")
    (tmp_path / "digits.csv").write_text("digit,weight\n1,1\n2,0\n")
    found = drawn(str(tmp_path / "lengths.csv"), str(tmp_path / "digits.csv"))
    assert set(found) == {"11", "1111"}
    assert Counter(map(len, found))[2] / len(found) == pytest.approx(0.75, abs=0.03)
    (tmp_path / "labels.csv").write_text("file,label\na.png,77\nb.png,7\nc.png,707\n")
    found = drawn(str(tmp_path / "labels.csv"), str(tmp_path / "labels.csv"))
    assert set(map(len, found)) == {1, 2, 3}
    assert set("".join(found)) == {"0", "7"}


@given(st.integers(1, 8), st.integers(0, 100))
def test_no_number_is_longer_than_allowed(max_digits: int, seed: int) -> None:
    wanted = texts.from_options("house", "benford", max_digits=max_digits, alphabet=DIGITS)
    assert 1 <= len(wanted.draw(np.random.default_rng(seed))) <= max_digits


@pytest.fixture(scope="module")
def beside() -> list[tuple[str, str]]:
    """What is written before and after each of 6,000 numbers."""
    wanted = texts.from_options("house", "uniform", max_digits=5, alphabet=DIGITS)
    return [texts.surroundings(np.random.default_rng(seed), wanted.characters, texts.BESIDE) for seed in range(6000)]


def test_a_fifth_stands_beside_letters_of_which_none_is_part_of_a_number(beside: list[tuple[str, str]]) -> None:
    some = [pair for pair in beside if pair != ("", "")]
    assert 0.17 < len(some) / len(beside) < 0.23
    assert all(not (before and after) for before, after in some)
    assert not set("".join(before + after for before, after in some)) & set(DIGITS)


def test_most_letters_stand_directly_beside_a_number_as_in_5d_and_b12(beside: list[tuple[str, str]]) -> None:
    after = Counter(after for _, after in beside if len(after) == 1)
    before = Counter(before for before, _ in beside if len(before) == 1 and before.isalpha())
    assert after.total() > 0.05 * len(beside)
    assert before.total() > 0.01 * len(beside)
    assert set("ABCDEFabcdef") <= set(after)
    assert min(after["B"], after["D"]) > 10
    assert not set(after + before) & set("OIlSZGQgoqsz")


def test_letters_that_look_like_digits_are_otherwise_in_known_words_alone(beside: list[tuple[str, str]]) -> None:
    words = {word for pair in beside for word in ["".join(pair).strip()] if len(word) > 2 and word.isalpha()}
    known = words & set(texts.WORDS)
    assert len(known) > 10
    assert len(words - known) > 100
    assert not set("".join(words - known)) & set("OIlSZBGQ")


def test_the_share_with_something_beside_can_be_chosen() -> None:
    drawn = {
        share: [texts.surroundings(np.random.default_rng(i), DIGITS, share) for i in range(200)] for share in (0, 1)
    }
    assert set(drawn[0]) == {("", "")}
    assert ("", "") not in drawn[1]


def test_where_letters_belong_to_the_numbers_none_stand_beside_them() -> None:
    wanted = texts.from_options("uniform", "uniform", max_digits=5, alphabet="0123456789ABC")
    assert {texts.surroundings(np.random.default_rng(seed), wanted.characters, 1.0) for seed in range(200)} == {
        ("", "")
    }


@pytest.mark.parametrize(
    ("lengths", "digits", "message"),
    [
        ("long", "uniform", "neither a file nor a known distribution"),
        ("{lengths}", "uniform", "has no length from 1 to 5"),
        ("{letters}", "uniform", "'x' is not a length"),
        ("uniform", "{digits}", "a is not in the alphabet"),
        ("uniform", "{negative}", "must not be negative"),
        ("uniform", "{nan}", "must not be negative, infinite or all zero"),
        ("{short}", "uniform", "has no length from 1 to 5"),
        ("{huge}", "uniform", "not a CSV file"),
        ("uniform", "{columns}", "its first line must be digit,weight"),
        ("uniform", "{text}", "a weight is not a number"),
    ],
)
def test_bad_distributions_say_what_to_do(tmp_path: Path, lengths: str, digits: str, message: str) -> None:
    files = {
        "lengths": "length,weight\n9,1\n",
        "letters": "length,weight\nx,1\n",
        "digits": "digit,weight\na,1\n",
        "negative": "digit,weight\n1,-1\n",
        "nan": "digit,weight\n1,nan\n",
        "short": "file,label\n1.png\n",
        "huge": f'length,weight\n"{"1" * 200_000}",1\n',
        "columns": "number,weight\n1,1\n",
        "text": "digit,weight\n1,much\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths = {name: tmp_path / name for name in files}
    with pytest.raises(UserError, match=message):
        texts.from_options(lengths.format(**paths), digits.format(**paths), max_digits=5, alphabet=DIGITS)


def test_the_command_line_offers_the_usual_shares() -> None:
    usual = (texts.BESIDE, texts.STACKED, texts.TURNED)
    assert usual == (synthesize.BESIDE, synthesize.STACKED, synthesize.TURNED)
