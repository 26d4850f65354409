"""Make what commands print harmless: file names may contain control sequences that a terminal would obey."""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

# Control characters except tab and line feed, line separators, marks that change the text's direction, and surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text with every unsafe character escaped as `\\uNNNN`, which JSON decodes to the same character."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Escape unsafe characters in all that is printed and logged within the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Printable(stream) for stream in before)  # None: closed, as by `>&-`
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Printable:
    """A text stream that escapes unsafe characters on their way to another."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Leave the stream open: logging handlers close streams that they assume to be their own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
