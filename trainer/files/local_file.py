"""Open local files that have an end.

Opening a pipe may wait for ever, and reading a device may never end.
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
    """What is there is no regular file."""


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
      NotAFile: it is something else.
      OSError: it cannot be opened.
    """
    check_regular(path)
    # It may have been replaced meanwhile; without waiting, opening a pipe does not block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str) -> None:
    """Raise `NotAFile` for anything but a regular file, and OSError where there is nothing."""
    _check(os.stat(path).st_mode)


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotAFile(f"it is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a regular file")
