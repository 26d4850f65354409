"""Stop on a signal by an exception with an exit status, and name the command that resumes."""

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from trainer.exit_status import STOPPED_STATUS

WAIT_SECONDS = 0.2  # after which the thread that waits for SIGTERM notices that it is no longer needed
_started_up = threading.Event()
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """The process was asked to stop by a signal; the hooks have run, so the work is saved.

    Attributes:
      status: the exit status of a process ended by the signal: 143 for SIGTERM, 130 for Ctrl-C, 129 for SIGHUP.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.status = status_of(number)


@contextlib.contextmanager
def stoppable(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Call `on_signal` with the number of the first signal that asks to stop.

    A later Ctrl-C ends the process at once. A signal that was ignored, e.g. SIGHUP under nohup, stays ignored.
    """
    came: list[int] = []

    def handle(number: int, _: object) -> None:
        if came and number == signal.SIGINT:
            os._exit(status_of(number))
        if not came:
            came.append(number)
            on_signal(number)

    _started_up.set()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextlib.contextmanager
def ended_by_sigterm_at_start() -> Iterator[None]:
    """End the process at once, with status 143, if SIGTERM comes before it is `stoppable`.

    TensorFlow takes over SIGTERM when it connects to other tasks, at a moment unknown to the caller, and ignores it. So
    the signal is blocked in this thread and in those that it starts, and one of them waits for it. Enter the block
    before any other thread is started. That thread needs the GIL: see `connecting.threads_may_run`.
    """
    _started_up.clear()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_by_sigterm, daemon=True, name="SIGTERM at start").start()
    try:
        yield
    finally:
        _started_up.set()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_by_sigterm() -> None:
    while not _started_up.is_set():
        if signal.sigtimedwait({signal.SIGTERM}, WAIT_SECONDS):
            os._exit(STOPPED_STATUS)


def status_of(number: int) -> int:
    """Return the exit status that shells report for a process ended by the signal."""
    return 128 + number


def command_again(module: str, argv: list[str] | None) -> str:
    """Return the command line that runs this command again."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
