"""What commands print, made harmless: names of files may hold what a terminal obeys."""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

# Control characters but for tab and line feed, marks that turn the direction of text, and what is no text at all.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text with every unsafe character as `\\uNNNN`, which within JSON means the same character."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Make all that is printed and logged meanwhile printable."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Printable(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Printable:
    """A text stream in front of another."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Leave the stream open: handlers of logs close what they take for their own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
