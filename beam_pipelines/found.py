"""What --input of the scorer stands for: pictures in files, tar archives and records, each with a key of its own.

Archives and record files are gone through once for names and places; no picture is read.
"""

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apache_beam.io.filesystems import FileSystems

from trainer import records
from trainer.cli import UserError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ARCHIVE_ENDING = ".tar"
RECORDS = ".tfrecord"  # somewhere in the name
_PACKED = re.compile(r"\.(tgz|tar\.\w+)$")
_WILDCARD = re.compile(r"[*?\[]")
_FRAME_HEADER, _FRAME = 12, 16  # bytes of a TFRecord frame before its data, and in all


class Item(NamedTuple):
    """One picture found, or what was found in its place.

    Attributes:
      key: unique among all but the rejected: the path, `archive.tar/member`, or the record's own.
      path: of the file that it is in.
      kind: how it is in there.
      start, size: where in the file, in bytes, for members and records.
      reject: reason and detail, where it is clear already that it cannot be read.
    """

    key: str
    path: str
    kind: Literal["file", "member", "record"] = "file"
    start: int = 0
    size: int = 0
    reject: tuple[str, str] | None = None


@dataclass
class Found:
    """Items in the order of their keys, and how many other files were in folders and archives."""

    items: list[Item] = field(default_factory=list)
    others: int = 0


def find(inputs: Iterable[str]) -> Found:
    """Finds the pictures.

    Args:
      inputs: each a file, a folder or a prefix with files below it, a pattern with wildcards, an archive `.tar`,
        TFRecords, or a text file (`@list`, or ending in `.txt`) that names one of the first or the last two a line.
    Raises:
      UserError: an input stands for nothing, is a compressed archive, or of an unfinished dataset.
    """
    found, paths = Found(), dict[str, None]()
    for one in inputs:
        listed = list(_paths(one, found))
        if not listed:
            raise UserError(
                f"--input {one} matches no pictures: give files, folders, .tar archives, TFRecords or a list of paths; "
                "quote a pattern, e.g. 'photos/*.png'"
            )
        paths.update(dict.fromkeys(listed))
    finished: set[str] = set()
    for path in paths:
        if _PACKED.search(path):
            raise UserError(f"{path} is compressed, so its members cannot be read apart: repack it as a plain .tar")
        if path.endswith(ARCHIVE_ENDING):
            found.items.extend(_members(path, found))
        elif RECORDS in _name(path):
            _check_finished(path, finished)
            found.items.extend(_records(path))
        else:
            found.items.append(Item(printable(path), path))
    found.items.sort(key=lambda item: (item.key, item.path, item.start))
    _mark_duplicates(found.items)
    return found


def printable(name: str) -> str:
    """A name as text; what of it is no UTF-8 becomes `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _paths(one: str, found: Found) -> Iterator[str]:
    """The files that an input stands for."""
    if one.startswith("@") or one.endswith(".txt"):
        yield from _listed(one.removeprefix("@"))
    elif "://" not in one and os.path.isfile(one):
        yield os.path.normpath(one)
    elif "://" not in one and os.path.isdir(one):
        yield from _wanted(map(os.path.normpath, _below(one, found)), found)
    elif _WILDCARD.search(one):
        yield from _match(one)
    elif "://" in one and (prefixed := _match(FileSystems.join(one, "**"))):
        yield from _wanted(prefixed, found)
    else:
        yield from _match(one)


def _below(top: str, found: Found) -> Iterator[str]:
    """The files below a folder. Links to folders are not followed, but counted; what cannot be listed is rejected."""

    def reject(error: OSError) -> None:
        folder = printable(os.path.normpath(error.filename))
        found.items.append(Item(folder, folder, reject=("unreadable", f"files below this are lost: {error.strerror}")))

    for folder, below, names in os.walk(top, onerror=reject):
        found.others += sum(os.path.islink(os.path.join(folder, name)) for name in below)
        yield from (os.path.join(folder, name) for name in names)


def _listed(path: str) -> Iterator[str]:
    if not FileSystems.exists(path):
        raise UserError(f"there is no list {path}: give --input a text file with a path a line")
    with FileSystems.open(path, compression_type="uncompressed") as file:
        # Not splitlines(): names may hold what it takes for the end of a line.
        for line in file.read().decode("utf-8-sig", "surrogateescape").split("\n"):
            if line.strip():
                yield line.strip() if "://" in line else os.path.normpath(line.strip())


def _match(pattern: str) -> list[str]:
    return [file.path for file in FileSystems.match([pattern])[0].metadata_list]


def _wanted(paths: Iterable[str], found: Found) -> Iterator[str]:
    for path in paths:
        if path.lower().endswith((*PICTURE_ENDINGS, ARCHIVE_ENDING)) or RECORDS in _name(path):
            yield path
        else:
            found.others += 1


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _members(path: str, found: Found) -> Iterator[Item]:
    """The pictures in an archive; where it is damaged, what comes before the damage, and one reject."""
    try:
        with (
            FileSystems.open(path, compression_type="uncompressed") as file,
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined] # it would keep a kilobyte of each
                if member.isfile() and member.name.lower().endswith(PICTURE_ENDINGS):
                    sparse = ("undecodable", "it is a sparse file") if member.issparse() else None
                    key = printable(f"{path}/{member.name}")
                    yield Item(key, path, "member", member.offset_data, member.size, sparse)
                elif not member.isdir():
                    found.others += 1
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes damage for the end
                raise tarfile.ReadError(f"no header and no end mark at byte {archive.offset:,}")
    except (tarfile.TarError, EOFError, OSError) as error:
        _raise_if_remote(path, error)
        yield Item(printable(path), path, reject=("damaged-archive", f"members behind this are lost: {error}"))


def _records(path: str) -> Iterator[Item]:
    """The records of a file; where its framing is damaged, those before, and one reject."""
    position, number = 0, 0
    try:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            for number, data in enumerate(records.read_framed(file)):
                start, position = position + _FRAME_HEADER, position + _FRAME + len(data)
                try:
                    yield Item(records.from_example(data).key, path, "record", start, len(data))
                except records.Damaged as error:
                    yield Item(printable(f"{path}:{number}"), path, reject=("damaged-record", str(error)))
    except (records.Damaged, OSError) as error:
        _raise_if_remote(path, error)
        yield Item(printable(path), path, reject=("damaged-record", f"records behind this are lost: {error}"))


def _raise_if_remote(path: str, error: Exception) -> None:
    """An object store that fails says nothing about the file."""
    if isinstance(error, OSError) and not isinstance(error, tarfile.TarError) and "://" in path:
        raise error


def _check_finished(path: str, finished: set[str]) -> None:
    folder = path.rpartition("/")[0]
    marker = FileSystems.join(folder, records.COMPLETED_FILE) if folder else records.COMPLETED_FILE
    if folder not in finished and not FileSystems.exists(marker):
        raise UserError(f"{path}: there is no {marker}, so the dataset is not finished; run what was writing it again")
    finished.add(folder)


def _mark_duplicates(items: list[Item]) -> None:
    """Rejects all but the first of those with one key."""
    for i in range(1, len(items)):
        if items[i].key == items[i - 1].key:
            items[i] = items[i]._replace(reject=("duplicate-key", f"in {items[i].path}; another has the same key"))
