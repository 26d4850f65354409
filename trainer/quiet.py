"""Hold back what native libraries write to standard error while they start, and show it if the start fails.

TensorFlow writes to file descriptor 2 before its own log level applies, so no environment variable silences it.
Descriptor 2 therefore points to a temporary file for a while. Python's own output is not held back: in the meantime,
`sys.stderr` and the logging handlers that write to it use a duplicate of the real descriptor.
"""

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

from trainer.cli import UserError

STDERR = 2  # the descriptor
# A separate process shows what was held back, so that a crash by a signal or os._exit leaves a trace, too: if this
# process dies, the other one's input ends without a line. Its descriptor 1 is the temporary file, open for reading.
SHOW_UNLESS_TOLD = ("/bin/sh", "-c", "read -r told || cat <&1 >&2")

_lock = threading.Lock()
_blocks = 0  # how many hold back standard error now; they may be nested or run in several threads
_failed = False  # whether one of them failed
_end: Callable[[bool], None]


@contextlib.contextmanager
def native_stderr() -> Iterator[None]:
    """Hold back what native code writes to standard error; show it if the block fails or the process ends within it.

    A `UserError` explains itself, so nothing is shown with it. If holding back is impossible, e.g. without a folder for
    temporary files, the output appears as usual.
    """
    global _blocks, _failed, _end
    with _lock:
        if _blocks == 0:
            _failed, _end = False, _redirect()
        _blocks += 1
    failed = False
    try:
        yield
    except UserError:
        raise
    except Exception:
        failed = True
        raise
    finally:
        with _lock:
            _blocks, _failed = _blocks - 1, _failed or failed
            if _blocks == 0:
                _end(_failed)


def _redirect() -> Callable[[bool], None]:
    """Redirect the descriptor; return a function that restores it and, called with True, shows what was held back."""
    try:
        with tempfile.NamedTemporaryFile() as held, open(held.name, "rb") as reading:
            guard, telling = _guard(reading.fileno())
            real = os.dup(STDERR)
            restore_python = _keep_python_on(real)
            os.dup2(held.fileno(), STDERR)
    except OSError:
        return lambda failed: None

    def end(failed: bool) -> None:
        os.dup2(real, STDERR)
        os.close(real)
        restore_python()
        with contextlib.suppress(BrokenPipeError):  # the guard may have been killed, e.g. by Ctrl-C
            os.write(telling, b"" if failed else b"all is well\n")
        os.close(telling)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(guard, 0)

    return end


def _guard(held: int) -> tuple[int, int]:
    """Start the process that shows what was held back, a file descriptor; return its id and a descriptor to tell it.

    Raises:
      OSError: this is impossible here, e.g. on Windows.
    """
    if not hasattr(os, "posix_spawn"):
        raise OSError("there is no posix_spawn")
    told, telling = os.pipe()
    try:
        # Unlike this process, it blocks no signals: whoever stops the group stops it, too, and so nothing is shown.
        actions = [(os.POSIX_SPAWN_DUP2, told, 0), (os.POSIX_SPAWN_DUP2, held, 1)]
        shell, *_ = SHOW_UNLESS_TOLD
        guard = os.posix_spawn(shell, SHOW_UNLESS_TOLD, {"PATH": os.defpath}, file_actions=actions, setsigmask=())
    except OSError:
        os.close(telling)
        raise
    finally:
        os.close(told)
    return guard, telling


def _keep_python_on(real: int) -> Callable[[], None]:
    """Send Python's own output to a duplicate of a descriptor; return a function that undoes this."""
    before = sys.stderr
    try:
        if before.fileno() != STDERR:
            return lambda: None
    except (AttributeError, OSError, ValueError):  # missing, or not a file, as in a notebook
        return lambda: None
    before.flush()
    # Never closed, since logging handlers created in the meantime keep it.
    meanwhile = os.fdopen(os.dup(real), "w", buffering=1, encoding=before.encoding, errors=before.errors)
    sys.stderr = meanwhile
    _move_handlers(before, meanwhile)

    def restore() -> None:
        sys.stderr = before
        _move_handlers(meanwhile, before)

    return restore


def _move_handlers(old: object, new: object) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)
