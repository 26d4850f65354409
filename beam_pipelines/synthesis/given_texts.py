"""Draw texts that the user specifies: from a list, or by a pattern."""

import argparse
import random
import re
from dataclasses import dataclass

import numpy as np
import rstr

from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.texts import TextSource
from trainer.cli import UserError
from trainer.files import local_file
from trainer.vocab import DIGITS, Vocab

MAX_DIGITS = 5  # of random numbers, by default
LONGEST = 100  # characters
SAMPLES = 2_000  # texts sampled to determine the characters and the longest length of a pattern
TRIES = 1_000  # matching texts that are too long or have other characters, before the pattern is refused
MOST_DRAWS = 500  # random numbers per text that matches a pattern
MOST_ENDLESS = 50  # texts that need more random numbers, before the pattern is refused
_NOT_A_PATTERN = (re.error, KeyError, IndexError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Listed:
    """Draws each of some texts equally often."""

    texts: tuple[str, ...]

    @property
    def characters(self) -> frozenset[str]:
        """All characters of the texts."""
        return frozenset("".join(self.texts))

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random text."""
        return self.texts[rng.integers(len(self.texts))]


@dataclass(frozen=True)
class Matching:
    """Draws texts that match a regular expression, of at most `longest` characters of the alphabet."""

    pattern: str
    alphabet: str
    longest: int

    @property
    def characters(self) -> frozenset[str]:
        """All characters that a text may have."""
        return frozenset(self.alphabet)

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random match.

        Raises:
          UserError: hardly any match is short enough and has only characters of the alphabet.
        """
        matches = _Matches(self.pattern, int(rng.integers(2**63)))
        for _ in range(TRIES):
            text = matches.draw()
            if 0 < len(text) <= self.longest and self.characters.issuperset(text):
                return text
        raise UserError(
            f"--pattern {self.pattern}: of {TRIES} texts that match, none has 1 to {self.longest} characters of "
            f"{self.alphabet!r}: give other --max-digits or another --alphabet"
        )


class _TooManyDraws(Exception):
    """A text needs more random numbers than any text of `LONGEST` characters."""


class _Limited(random.Random):
    """Random numbers, at most `MOST_DRAWS` per text, since nested repetitions could need an endless number."""

    left = MOST_DRAWS

    def getrandbits(self, bits: int, /) -> int:
        self.left -= 1
        if self.left < 0:
            raise _TooManyDraws
        return super().getrandbits(bits)


class _Matches:
    """Random texts that match a pattern."""

    def __init__(self, pattern: str, seed: int) -> None:
        self.pattern, self.random, self.endless = pattern, _Limited(seed), 0
        self.strings = rstr.Rstr(self.random)

    def draw(self) -> str:
        """Return a text, which is empty if it would have been far too long.

        Raises:
          UserError: texts cannot be drawn from the pattern, or many of them are far too long.
        """
        self.random.left = MOST_DRAWS
        try:
            return self.strings.xeger(self.pattern)
        except _TooManyDraws:
            self.endless += 1
            if self.endless < MOST_ENDLESS:
                return ""
            raise UserError(
                f"--pattern {self.pattern}: {MOST_ENDLESS} of its texts are far longer than {LONGEST} characters: "
                "repeat less in it, e.g. {1,3} instead of * and +"
            ) from None
        except _NOT_A_PATTERN as error:  # or one without texts
            raise UserError(
                f"--pattern {self.pattern}: texts of at most {LONGEST} characters cannot be drawn from this pattern "
                rf"({error}): give e.g. '[A-Z]{{2}}-\d{{3}}'"
            ) from error


def of(args: argparse.Namespace, *, lengths: str, digits: str) -> TextSource:
    """Return the texts that --texts or --pattern asks for, else numbers of these distributions.

    Where `args.alphabet` or `args.max_digits` is None, it is set: to what the texts need, else to five digits.

    Args:
      args: of the command line.
      lengths, digits: see `texts.from_options`.
    Raises:
      UserError: a file is missing, has no text or one that does not fit, or the pattern is not valid.
    """
    if args.texts is None and args.pattern is None:
        args.alphabet, args.max_digits = args.alphabet or DIGITS, args.max_digits or MAX_DIGITS
        return texts.from_options(lengths, digits, max_digits=args.max_digits, alphabet=args.alphabet)
    found = _read(args.texts) if args.texts is not None else _sample(args.pattern)
    if args.alphabet is None:
        args.alphabet = Vocab("".join(sorted(set("".join(found))))).alphabet
    if args.max_digits is None:
        args.max_digits = max(map(len, found))
    if args.texts is None:
        matching = Matching(args.pattern, args.alphabet, args.max_digits)
        matching.draw(np.random.default_rng(0))
        return matching
    for text in found:
        if len(text) > args.max_digits or not set(args.alphabet).issuperset(text):
            raise UserError(
                f"--texts {args.texts}: {text!r} is longer than --max-digits {args.max_digits} or has characters that "
                f"are not in --alphabet {args.alphabet!r}"
            )
    return Listed(tuple(found))


def _read(path: str) -> list[str]:
    named, advice = f"--texts {path}", "give a text file with one text a line"
    lines = local_file.read_text(path, named=named, advice=advice).splitlines()
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise UserError(f"{named} is empty: {advice}")
    if odd := next((text for text in found if not text.isprintable()), None):
        raise UserError(f"{named}: {odd[:LONGEST]!r} has a character that cannot be drawn: remove it")
    if longest := next((text for text in found if len(text) > LONGEST), None):
        raise UserError(f"--texts {path}: {longest[:20]!r}... has more than {LONGEST} characters")
    return found


def _sample(pattern: str) -> list[str]:
    matches = _Matches(pattern, 0)
    sampled = [text for text in (matches.draw() for _ in range(SAMPLES)) if 0 < len(text) <= LONGEST]
    if not sampled:
        raise UserError(f"--pattern {pattern}: no text of 1 to {LONGEST} characters matches")
    return sampled
