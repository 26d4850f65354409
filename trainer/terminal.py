"""Make the output of commands harmless: file names may contain control sequences that a terminal would obey."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

# Control characters except tab and line feed, line separators, marks that change the text's direction, and surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_clear: list[Callable[[], None]] = []  # each removes a progress bar from the terminal until it is drawn again
_begun = False  # whether the last line that was printed has not ended yet


def printable(text: str) -> str:
    """Return the text with every unsafe character escaped as `\\uNNNN`, which JSON decodes to the same character."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Escape unsafe characters in everything that is printed and logged within the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Printable(stream) for stream in before)  # None: closed, as by `>&-`
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def cleared_for_output(remove: Callable[[], None]) -> Iterator[None]:
    """Call a function, which removes a progress bar, before anything is printed within the block."""
    _clear.append(remove)
    try:
        yield
    finally:
        _clear.remove(remove)


def clear() -> None:
    """Remove the progress bars from the terminal until they are drawn again."""
    for one in tuple(_clear):
        one()


def unescaped(stream: Any) -> Any:
    """Return the stream itself behind one of `printable_output`: a progress bar moves the cursor."""
    return stream.behind if isinstance(stream, _Printable) else stream


class _Printable:
    """A text stream that escapes unsafe characters before it passes text on to another stream."""

    def __init__(self, stream: Any) -> None:
        self.behind = stream

    def write(self, text: str) -> int:
        global _begun
        if not _begun:  # it moves the cursor to the beginning of the line
            clear()
        _begun = not text.endswith("\n") if text else _begun
        self.behind.write(printable(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Leave the stream open: logging handlers close streams that they assume to be their own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)
