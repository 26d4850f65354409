"""Protect the user's files from options that write a file: only an existing file of its kind may be replaced."""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.cli import UserError


@dataclass(frozen=True)
class FileKind:
    """The kind of file that an option writes.

    Attributes:
      name: as in "this is not ...", e.g. "a PNG or JPEG file".
      new: as in "give the path of ...", e.g. "a new PNG".
      signatures: the first bytes of a file of the kind are one of these.
    """

    name: str
    new: str
    signatures: tuple[bytes, ...]


IMAGE = FileKind("a PNG or JPEG file", "a new PNG", (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
REPORT = FileKind(
    "a report written by this program",
    "a new HTML file",
    (b'<!doctype html>\n<html lang="en">\n<meta name="generator" content="svhn-sequences report">',),
)
HEADER_BYTES = 128  # enough for the longest signature


def check_replaceable(path: str, flag: str, kind: FileKind = IMAGE) -> None:
    """Check, before the work begins, that a file may be written to a local path.

    Only regular files are opened, and nothing is changed.

    Args:
      path: the file to write.
      flag: the option that named it, e.g. `--draw`.
      kind: what will be written.
    Raises:
      UserError: something else exists at the path.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise UserError(f"{flag} {path!r}: {getattr(error, 'strerror', error)}; give the path of {kind.new}") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise UserError(f"{flag} {path}: this is {what}, which is not replaced; give the path of {kind.new}")
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError as error:
        raise UserError(f"{flag} {path}: {error.strerror}; give the path of {kind.new}") from error
    check_header(header, path, flag, kind)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yield the path of a temporary file, which is renamed to the local path at the end of the block.

    Readers see the old or the new file, and another hard link to the old one keeps its content.
    """
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def prepare_to_append(path: str) -> None:
    """Make sure that appending to a local file does not change another one.

    A file with further hard links, e.g. in a backup, is first replaced by a copy.

    Raises:
      UserError: it is a link.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise UserError(f"{path} is a link, to which nothing is appended: remove it, or choose another folder")
    if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
        with replacing(path) as copy:
            shutil.copyfile(path, copy)


def check_header(header: bytes, path: str, flag: str, kind: FileKind = IMAGE) -> None:
    """Check the first `HEADER_BYTES` of an existing file, wherever it is stored.

    Raises:
      UserError: it is not of the kind.
    """
    if not header.startswith(kind.signatures):
        raise UserError(f"{flag} {path}: this is not {kind.name} and is not replaced; give the path of {kind.new}")
