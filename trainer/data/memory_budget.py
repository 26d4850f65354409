"""Bound how much memory threads use together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """A memory budget in bytes that all threads share."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Wait until that many bytes are free, and hold them; hold the whole budget if more are wanted."""
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
