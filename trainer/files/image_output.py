"""Protect the user's files from options that write an image: only an existing image may be replaced."""

import os
import stat

from trainer.cli import UserError

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG
HEADER_BYTES = 8  # enough for the longest signature


def check_replaceable(path: str, flag: str) -> None:
    """Check, before the work begins, that an image may be written to a local path.

    Only regular files are opened, and nothing is changed.

    Args:
      path: the file to write.
      flag: the option that named it, e.g. `--draw`.
    Raises:
      UserError: the path exists and is not a PNG or JPEG file.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise UserError(f"{flag} {path!r}: {getattr(error, 'strerror', error)}; give the path of a new PNG") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise UserError(f"{flag} {path}: this is {what}, which is not replaced; give the path of a new PNG")
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise UserError(f"{flag} {path}: {error.strerror}; give the path of a new PNG") from error
    check_header(header, path, flag)


def check_header(header: bytes, path: str, flag: str) -> None:
    """Check the first `HEADER_BYTES` of an existing file, wherever it is stored.

    Raises:
      UserError: it is not a PNG or JPEG file.
    """
    if not header.startswith(SIGNATURES):
        raise UserError(
            f"{flag} {path}: this is not a PNG or JPEG file and is not replaced; give the path of a new PNG"
        )
