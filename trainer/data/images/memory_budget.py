"""Limit how much memory threads use together, and return unused memory to the system."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 4 << 20  # bytes


def return_large_blocks() -> None:
    """Make this process return large blocks to the system as soon as they are freed; glibc only.

    By default, glibc raises its mmap threshold to the size of freed blocks, up to 32 MB. Freed blocks below it stay in
    the heap, between others in use.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


class MemoryBudget:
    """A memory budget in bytes that all threads share."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Wait until that many bytes are free, and reserve them; larger requests reserve the whole budget."""
        held = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()
