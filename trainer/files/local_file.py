"""Open only regular local files.

Opening a pipe may block forever, and reading a device may never end.
"""

import os
import stat
from typing import BinaryIO

from trainer.cli import UserError
from trainer.files import file_descriptor

MOST_TEXT = 256 << 20  # bytes of a list or table from the user

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
    # It may have been replaced by a pipe in the meantime, which is then opened without waiting.
    descriptor = os.open(path, file_descriptor.READ_ONLY)
    try:
        _check(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_text(path: str, *, named: str, advice: str) -> str:
    """Return the content of a UTF-8 text file, without its byte order mark.

    Args:
      path: the file.
      named: its name in error messages, e.g. `--texts FILE`.
      advice: what the user can do about an error.
    Raises:
      UserError: it is missing, not a regular file, not UTF-8, or has more than `MOST_TEXT` bytes.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_TEXT + 1)
        if len(content) <= MOST_TEXT:
            return content.decode("utf-8-sig")
        reason = f"it has more than {MOST_TEXT:,} bytes"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
    raise UserError(f"{named} cannot be read ({reason}): {advice}")


def check_regular(path: str) -> None:
    """Raise `NotAFile` for anything but a regular file, and OSError if nothing exists there."""
    _check(os.stat(path).st_mode)


def _check(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotAFile(f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file")
