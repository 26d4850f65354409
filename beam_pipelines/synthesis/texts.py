"""Choose the numbers to draw, by distributions of lengths and digits."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from trainer.cli import UserError
from trainer.files import local_file

NAMED = ("uniform", "house", "benford")  # distributions that need no file
# The shares of lengths among house numbers, in SVHN and in other photos alike.
HOUSE_LENGTHS = {1: 0.05, 2: 0.33, 3: 0.53, 4: 0.08, 5: 0.01}


# What is written around a number but is not part of it. Letters that look like digits are left out, except in known
# words and from A to F: these are common next to a number, so a recogniser must tell a 5D from a 50 and a 2B from a 28.
BESIDE = 0.2  # the usual share of numbers that have something there
STACKED = 0.25  # the usual share of numbers of several characters that are stacked, in scenes and regions
TURNED = 0.1  # the usual share of numbers in scenes that are rotated by about 90 degrees
PREFIXES = ("No", "No.", "no.", "No ", "N°", "N ", "Nr.", "Nr ", "n°", "#")
CAPITALS, SMALL_LETTERS = "ACDEFHKMNPRTUVWXY", "acdefhkmnprtuvwxy"
FLATS = "ABCDEFabcdef"
BETWEEN = ("", "", "", "", "", "", " ", "-")  # a number and a letter
# fmt: off
WORDS = ("APT", "Apt", "FLAT", "Flat", "UNIT", "Unit", "SUITE", "Suite", "ROOM", "Room", "HOUSE", "House", "LOT",
         "Street", "ROAD", "Lane", "COURT", "Villa", "bis", "BIS")
# fmt: on


class TextSource(Protocol):
    """The interface of sources of texts to draw."""

    @property
    def characters(self) -> frozenset[str]:
        """All characters that a text may have."""

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random text."""


@dataclass(frozen=True)
class Texts:
    """A distribution of texts.

    Attributes:
      lengths: (length, share); the shares sum to 1.
      first: (character, share) for the first character.
      rest: (character, share) for all other characters.
    """

    lengths: tuple[tuple[int, float], ...]
    first: tuple[tuple[str, float], ...]
    rest: tuple[tuple[str, float], ...]

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random text."""
        length = _pick(rng, self.lengths)
        return "".join([_pick(rng, self.first), *(_pick(rng, self.rest) for _ in range(length - 1))])

    @property
    def characters(self) -> frozenset[str]:
        """All characters that a text may have."""
        return frozenset(character for character, _ in self.first + self.rest)


def surroundings(rng: np.random.Generator, characters: Iterable[str], share: float) -> tuple[str, str]:
    """Return what is written before and after a number: a prefix, a letter or a word, or nothing.

    Args:
      rng: the source of randomness.
      characters: all that the numbers may have; if a letter is among them, it is always nothing.
      share: of numbers with something before or after them, 0 to 1.
    """
    if share / 2 <= rng.random() < 1 - share / 2 or any(character.isalpha() for character in characters):
        return "", ""
    rng = rng.spawn(1)[0]  # a separate random stream, so that everything else is drawn as if nothing were added
    kind = rng.random()
    if kind < 0.15:
        return _one(rng, PREFIXES), ""
    if kind < 0.75:
        letter, between = _letter(rng), _one(rng, BETWEEN)
        return (letter + between, "") if kind < 0.3 else ("", between + letter)
    word = _word(rng)
    return (f"{word} ", "") if rng.random() < 0.5 else ("", f" {word}")


def _letter(rng: np.random.Generator) -> str:
    return _one(rng, FLATS if rng.random() < 0.75 else CAPITALS + SMALL_LETTERS)


def _word(rng: np.random.Generator) -> str:
    """Return a word, or two to five random letters."""
    if rng.random() < 0.5:
        return _one(rng, WORDS)
    letters = CAPITALS if rng.random() < 0.5 else SMALL_LETTERS
    first = _one(rng, letters if rng.random() < 0.5 else CAPITALS)
    return first + "".join(letters[i] for i in rng.integers(len(letters), size=rng.integers(1, 5)))


def _one(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _pick(rng: np.random.Generator, weighted):
    spot = rng.random()
    for value, share in weighted:
        spot -= share
        if spot < 0:
            return value
    return weighted[-1][0]


def from_options(lengths: str, digits: str, *, max_digits: int, alphabet: str) -> Texts:
    """Return the distribution that the command line asks for.

    Args:
      lengths: `uniform`, `house`, or a CSV file with the columns length,weight or label.
      digits: `uniform`, `benford` (first digits after Benford 1938, no leading zero), or a CSV file with the columns
        digit,weight or label.
      max_digits: longer numbers are not drawn.
      alphabet: the allowed characters.
    Raises:
      UserError: a file is missing or malformed, or no number is possible.
    """
    if max_digits < 1:
        raise UserError(f"--max-digits {max_digits}: it must be at least 1")
    if lengths == "uniform":
        length_weights: dict[int, float] = dict.fromkeys(range(1, max_digits + 1), 1.0)
    elif lengths == "house":
        length_weights = HOUSE_LENGTHS
    else:
        length_weights = {_length(key, lengths): w for key, w in _read_weights(lengths, "length").items()}
    possible = {n: w for n, w in length_weights.items() if 1 <= n <= max_digits}
    if not possible:
        raise UserError(f"--lengths {lengths} has no length from 1 to {max_digits}: see --max-digits")
    uniform = dict.fromkeys(alphabet, 1.0)
    if digits == "uniform":
        first = rest = uniform
    elif digits == "benford":
        first = {str(d): math.log10(1 + 1 / d) for d in range(1, 10) if str(d) in alphabet}
        rest = uniform
    else:
        first = rest = _read_weights(digits, "digit")
    foreign = sorted((set(first) | set(rest)) - set(alphabet))
    if foreign or not first:
        raise UserError(f"--digits {digits}: {', '.join(foreign) or 'no digit'} is not in the alphabet {alphabet!r}")
    return Texts(_shares(possible), _shares(first), _shares(rest))


def _shares(weights: dict) -> tuple:
    total = sum(weights.values())
    return tuple((value, weight / total) for value, weight in sorted(weights.items()))


def _length(text: str, path: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--lengths {path}: {text!r} is not a length")
    return int(text)


def _read_weights(path: str, column: str) -> dict[str, float]:
    """Return weights by value, as given in the file or counted in its labels."""
    flag = f"--{column}s {path}"
    if not Path(path).is_file():
        raise UserError(f"{flag}: neither a file nor a known distribution (see --help)")
    text = local_file.read_text(path, named=flag, advice="give a CSV file")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), restval=""))
    except csv.Error as error:
        raise UserError(f"{flag}: not a CSV file ({error})") from error
    columns = set(rows[0]) if rows else set()
    if "label" in columns:
        labels = [row["label"].strip() for row in rows]
        values = [str(len(label)) for label in labels] if column == "length" else list("".join(labels))
        return {value: float(count) for value, count in Counter(values).items()}
    if not {column, "weight"} <= columns:
        raise UserError(f"{flag}: its first line must be {column},weight or have a column label, followed by rows")
    try:
        weights = {row[column].strip(): float(row["weight"]) for row in rows}
    except (TypeError, ValueError) as error:
        raise UserError(f"{flag}: a weight is not a number ({error})") from error
    if min(weights.values()) < 0 or not 0 < sum(weights.values()) < math.inf:
        raise UserError(f"{flag}: weights must not be negative, infinite or all zero")
    return weights
