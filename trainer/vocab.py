"""The alphabet: characters to ids and back, and the tokens that only the model sees.

Records hold characters as indices into the alphabet. A model adds two tokens after them: `start`,
which it is fed first, and `end`, which it must predict after the last character.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

DIGITS = "0123456789"


@dataclass(frozen=True)
class Vocab:
    """An ordered set of characters.

    Raises:
      ValueError: the alphabet is empty or repeats a character.
    """

    alphabet: str = DIGITS

    def __post_init__(self) -> None:
        if not self.alphabet:
            raise ValueError("the alphabet is empty: give at least one character, e.g. 0123456789")
        repeated = sorted({c for c in self.alphabet if self.alphabet.count(c) > 1})
        if repeated:
            raise ValueError(f"the alphabet {self.alphabet!r} repeats {', '.join(repeated)}: list each character once")

    @property
    def start(self) -> int:
        """The token fed at the first step."""
        return len(self.alphabet)

    @property
    def end(self) -> int:
        """The token predicted after the last character."""
        return len(self.alphabet) + 1

    @property
    def size(self) -> int:
        """Characters, start and end together: the width of the model's output."""
        return len(self.alphabet) + 2

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ for different alphabets."""
        return hashlib.sha256(self.alphabet.encode()).hexdigest()[:12]

    def encode(self, text: str) -> list[int]:
        """Convert a text to ids.

        Raises:
          ValueError: the text is empty or has characters outside the alphabet; the message names them.
        """
        if not text:
            raise ValueError("the label is empty")
        foreign = sorted(set(text) - set(self.alphabet))
        if foreign:
            listed = ", ".join(map(repr, foreign))
            raise ValueError(f"the label {text!r} has characters outside the alphabet {self.alphabet!r}: {listed}")
        return [self.alphabet.index(c) for c in text]

    def decode(self, ids: Any) -> str:
        """Convert ids, up to the first end token, to a text."""
        chars = []
        for i in ids:
            if i >= len(self.alphabet):
                break
            chars.append(self.alphabet[i])
        return "".join(chars)

    def decode_tensor(self, ids: Any) -> Any:
        """Convert ids to texts inside a graph, as `decode` does: int32 [..., T] to string [...]."""
        import tensorflow as tf

        table = tf.constant([*self.alphabet, "", ""])
        ended = tf.cumsum(tf.cast(ids >= len(self.alphabet), tf.int32), axis=-1) > 0
        return tf.strings.reduce_join(tf.where(ended, "", tf.gather(table, ids)), axis=-1)
