"""Open only regular local files.

Opening a pipe may block forever, and reading a device may never end.
"""

import os
import stat
from typing import BinaryIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFile(OSError):
    """The path is not a regular file."""


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
      NotAFile: it is not a regular file.
      OSError: it cannot be opened.
    """
    check_regular(path)
    # It may have been replaced by a pipe in the meantime, which O_NONBLOCK opens without waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str) -> None:
    """Raise `NotAFile` for anything but a regular file, and OSError if nothing exists there."""
    _check(os.stat(path).st_mode)


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotAFile(f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file")
