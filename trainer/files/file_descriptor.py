"""Operations on file descriptors that not all systems have: without them, the next best thing is done."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

# Without waiting for the other end of a pipe; without changing line ends, as Windows otherwise does.
READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
READ_WRITE = os.O_RDWR | getattr(os, "O_BINARY", 0)

_seeking = threading.Lock()
_RETRY_SECONDS = 0.05
_LOCKED_BYTE = 1 << 40  # on Windows, which locks bytes, also beyond the end of a file; far from the content

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        while True:
            with contextlib.suppress(OSError), _seeking:
                os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            time.sleep(_RETRY_SECONDS)

    def _unlock(descriptor: int) -> None:
        with _seeking:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def read_at(descriptor: int, count: int, position: int) -> bytes:
    """Return at most `count` bytes from a position, whatever other threads read from the file."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, position)
    with _seeking:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, count)


def write_at(descriptor: int, content: bytes, position: int) -> int:
    """Write at a position, whatever other threads write to the file; return the number of bytes written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, content, position)
    with _seeking:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, content)


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Hold the system's lock on a file, waiting for other processes that hold it."""
    _lock(descriptor)
    try:
        yield
    finally:
        _unlock(descriptor)


def sync_folder(folder: str) -> None:
    """Flush the entries of a folder to the disk, so that its new files survive a power failure, if the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse this
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
