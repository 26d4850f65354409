"""End a process that hangs: a call into TensorFlow that waits for a stopped machine never returns."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

from trainer.cluster.liveness import Member, names
from trainer.exit_status import HUNG_STATUS, STOPPED_STATUS

log = logging.getLogger(__name__)
STOP_SECONDS = 20.0  # from a signal to stop until the exit, if another task does not answer
PATIENCE = 10  # multiples of the limit to wait while all other tasks are alive


def nobody() -> list[Member]:
    """Return no tasks, for processes without other tasks to check."""
    return []


class Watchdog:
    """A limit on how long an operation may take.

    Args:
      seconds: the default limit.
      silent: returns the other tasks that do not answer. While all answer, they are only slow, so the wait continues.
    """

    def __init__(self, seconds: float, silent: Callable[[], list[Member]] = nobody) -> None:
        self.seconds, self.silent, self.status = seconds, silent, HUNG_STATUS
        self._what, self._limit, self._since = "", 0.0, 0.0
        self._changed = threading.Condition()  # its lock is reentrant, since a signal handler calls `stop_soon`
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    @contextlib.contextmanager
    def limit(self, what: str, seconds: float | None = None) -> Iterator[None]:
        """Exit with status 41 if the block takes too long."""
        with self._changed:
            self._what, self._limit, self._since = what, seconds or self.seconds, time.monotonic()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._what = ""

    def stop_soon(self, status: int = STOPPED_STATUS) -> None:
        """Shorten the limit after a signal to stop, since other tasks may be stopping, too; set the exit status."""
        with self._changed:
            self.seconds, self.status = min(self.seconds, STOP_SECONDS), status
            self._limit = time.monotonic() - self._since + self.seconds
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                left = self._since + self._limit - time.monotonic() if self._what else self.seconds
                if left > 0:
                    self._changed.wait(left)
                    continue
                what, since = self._what, self._since
            silent = self.silent()
            waited = time.monotonic() - since
            with self._changed:
                if (what, since) != (self._what, self._since):
                    continue
                self._limit += self.seconds
            if silent or waited > PATIENCE * self.seconds:
                reason = f"no answer from {names(silent)}" if silent else "although all other tasks answer"
                log.error("%s has taken %.0f s, %s: exiting with status %d", what, waited, reason, self.status)
                logging.shutdown()
                os._exit(self.status)
            log.warning("%s has taken %.0f s, but all other tasks answer: waiting", what, waited)
