"""List the files in a folder or object store by their literal names, whatever characters they contain.

Beam's `FileSystems.match` treats every path as a pattern and has no way to escape `[`, `*` and `?`.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import list_objects
from trainer.files.local_file import open_regular

_AZURE = "azfs://"
_WILDCARD = re.compile(r"[\[*?]")


class File(NamedTuple):
    """A listed file.

    Attributes:
      path: where it is.
      size: in bytes.
      updated: when it was last written, in seconds since the epoch.
      is_regular: False for a pipe, a device, a socket, or a dangling link.
    """

    path: str
    size: int
    updated: float
    is_regular: bool = True


def is_remote(path: str) -> bool:
    """Return whether a path names something in an object store rather than a local file."""
    return "://" in path


def bucket_of(path: str) -> str:
    """Return the bucket of a path in an object store, e.g. `gs://bucket`; on Azure, the account and its container."""
    return "/".join(path.split("/")[: 4 if path.startswith(_AZURE) else 3])


def files(folder: str) -> dict[str, File]:
    """Return the files directly in a folder by name; empty if the folder does not exist.

    In a local folder, everything except folders is listed, including dangling links, pipes and devices.

    Raises:
      OSError: the folder cannot be listed.
    """
    if is_remote(folder):
        prefix = _prefix(folder)
        by_path = {file.path[len(prefix) :]: file for file in _below_prefix(prefix)}
        return {name: file for name, file in by_path.items() if name and "/" not in name}
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries if not _is_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: one for name in names if (one := file(os.path.join(folder, name)))}


def below(folder: str, on_error: Callable[[OSError], None]) -> Iterator[File]:
    """Yield all files below a folder or a prefix, in any order.

    A link to a folder is not followed, but yielded as not regular.

    Args:
      folder: a local folder, or a prefix in an object store, with or without a final `/`.
      on_error: called with the error for each local folder that cannot be listed.
    """
    if is_remote(folder):
        # Some storage consoles represent an empty folder by an object whose name ends in a slash.
        yield from (one for one in _below_prefix(_prefix(folder)) if not one.path.endswith("/"))
        return
    for top, folders, names in os.walk(folder, onerror=on_error):
        paths = [os.path.join(top, name) for name in names]
        paths += [path for name in folders if os.path.islink(path := os.path.join(top, name))]
        yield from (one for path in paths if (one := file(path)))


def any_below(path: str) -> bool:
    """Return whether a store has any name that begins with this path; errors of the store are raised."""
    prefix = f"{path}/" if path == bucket_of(path) else path
    return bool(FileSystems.match([_WILDCARD.sub("?", prefix) + "**"], [1])[0].metadata_list)


def file(path: str) -> File | None:
    """Describe a local file, following links; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        try:
            status = os.lstat(path)
        except OSError:  # removed in the meantime
            return None
    return File(path, status.st_size, status.st_mtime, stat.S_ISREG(status.st_mode))


def remote_file(path: str) -> File | None:
    """Describe a file in an object store; None if it does not exist."""
    return next((one for one in _matched(path) if one.path == path), None)


def exists(path: str) -> bool:
    """Return whether a file exists, locally also a folder."""
    return remote_file(path) is not None if path.startswith(_AZURE) else FileSystems.exists(path)


def opened(path: str) -> BinaryIO:
    """Open a file in place, local or remote.

    Raises:
      NotAFile: it is a pipe, a device or a folder.
      OSError: it cannot be opened.
    """
    if is_remote(path):
        return FileSystems.open(path, compression_type="uncompressed")
    return open_regular(path)


def delete(path: str) -> None:
    """Delete the file with exactly this name; Beam would treat it as a pattern and delete all that matches.

    Raises:
      OSError: it does not exist, or cannot be deleted.
    """
    if not is_remote(path):
        os.remove(path)
    elif not has_wildcard(path):
        FileSystems.delete([path])
    elif path.startswith("gs://"):
        from apache_beam.io.gcp import gcsio

        gcsio.GcsIO().delete(path)
    else:
        raise OSError(f"{path} cannot be deleted: Beam would treat its name as a pattern; choose another name")


def match(pattern: str) -> list[str]:
    """Return the paths that match a pattern with wildcards."""
    return [one.path for one in FileSystems.match([pattern])[0].metadata_list]


def has_wildcard(path: str) -> bool:
    """Return whether a path contains a character that is special in a pattern."""
    return bool(_WILDCARD.search(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _prefix(folder: str) -> str:
    return folder.rstrip("/") + "/"


def _below_prefix(prefix: str) -> Iterator[File]:
    """Yield files, if possible while the store lists them; Beam's `match` takes 300 bytes for each."""
    if list_objects.is_known(prefix):
        return (File(*one) for one in list_objects.below(prefix))
    return (one for one in _matched(prefix, "**") if one.path.startswith(prefix))


def _matched(literal: str, pattern: str = "") -> Iterator[File]:
    # `?` matches any one character, so this finds a little too much if the name contains wildcards.
    if (
        literal.startswith(_AZURE) and not pattern
    ):  # there, Beam 2.77 raises if a name does not exist, but not for a pattern
        literal, pattern = literal[:-1], "?"
    for one in FileSystems.match([_WILDCARD.sub("?", literal) + pattern])[0].metadata_list:
        yield File(one.path, one.size_in_bytes, one.last_updated_in_seconds)
