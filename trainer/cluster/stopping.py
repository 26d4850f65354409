"""Stop on a signal by an exception with an exit status, and name the command that resumes."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator

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

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number] or signal.SIG_DFL)


def status_of(number: int) -> int:
    """Return the exit status that shells report for a process ended by the signal."""
    return 128 + number


def command_again(module: str, argv: list[str] | None) -> str:
    """Return the command line that runs this command again."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
