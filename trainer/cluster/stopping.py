"""Turn a signal into an exception with an exit status, and name the command that resumes."""

import contextlib
import ctypes
import os
import select
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from trainer.exit_status import STOPPED_STATUS

_started_up = threading.Event()
STOP_SIGNALS = [signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


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
    _started_up.set()
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextlib.contextmanager
def ended_by_sigterm_at_start() -> Iterator[None]:
    """End the process at once, with status 143, if SIGTERM arrives before it is `stoppable`.

    Until TensorFlow connects to other tasks, Linux does that itself, whatever holds the GIL. Then, at a moment that the
    caller cannot know, TensorFlow installs a SIGTERM handler that ignores the signal. So all threads block the signal
    except one, which waits until TensorFlow's handler has run in it, and then ends the process. For that it needs the
    GIL: see `connecting.threads_may_run`. Enter the block before any other thread is started. On Windows, where other
    processes cannot send SIGTERM, nothing is done.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _started_up.clear()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if os.getpid() == 1:  # Linux ignores signals to the first process of a container for which it has no handler
        signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED_STATUS))
    over, end = os.pipe()
    waiting = threading.Thread(target=_end_by_sigterm, args=(over,), daemon=True, name="SIGTERM at start")
    waiting.start()
    try:
        yield
    finally:
        _started_up.set()
        os.close(end)
        waiting.join()
        os.close(over)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Poll(ctypes.Structure):
    """`struct pollfd` of poll(2)."""

    _fields_ = (("file", ctypes.c_int), ("events", ctypes.c_short), ("seen", ctypes.c_short))


def _end_by_sigterm(over: int) -> None:
    """Wait until a handler of SIGTERM has run in this thread, or the other end of the pipe `over` is closed."""
    poll, files = ctypes.CDLL(None).poll, _Poll(over, select.POLLIN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    poll(ctypes.byref(files), ctypes.c_ulong(1), -1)  # unlike Python's own, it returns once a handler has run
    if not _started_up.is_set():
        os._exit(STOPPED_STATUS)


def status_of(number: int) -> int:
    """Return the exit status that shells report for a process ended by the signal."""
    return 128 + number


def command_again(module: str, argv: list[str] | None) -> str:
    """Return the command line that runs this command again."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])
