"""What --input of the scorer stands for: images in files, archives and records, each with a key of its own.

Archives and record files are gone through once for names and places; no image is read.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.dataset import writer
from beam_pipelines.inputs import archives
from beam_pipelines.sharding import listing, places
from trainer.cli import UserError
from trainer.data import dataset_info, records, shard_sizes, tfrecord
from trainer.data.dataset_info import Shard
from trainer.data.image_kinds import IMAGE_ENDINGS
from trainer.data.tfrecord import Damaged
from trainer.files.local_file import NotAFile, check_regular

RECORDS = ".tfrecord"  # somewhere in the name
LINK_TO_FOLDER = "link to a folder"  # among the endings of other files
_FRAME_HEADER, _FRAME = 12, 16  # bytes of a TFRecord frame before its data, and in all


class Item(NamedTuple):
    """One image found, or what was found in its place.

    Attributes:
      key: unique among all but the rejected: the path, `archive.tar/member`, or the record's own.
      path: of the file that it is in.
      kind: how it is in there.
      start, size: where in the file, in bytes, for members and records; of a zipped member where its header is.
      reject: reason and detail, where it is clear already that it cannot be read.
    """

    key: str
    path: str
    kind: Literal["file", "member", "zipped", "record"] = "file"
    start: int = 0
    size: int = 0
    reject: tuple[str, str] | None = None


@dataclass
class Found:
    """Items in the order of their keys, and other files in folders and archives, counted by their endings."""

    items: list[Item] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)

    @property
    def others(self) -> int:
        return self.endings.total()


def find(inputs: Iterable[str]) -> Found:
    """Find the images.

    Args:
      inputs: each a file, a folder or a prefix with files below it, a pattern with wildcards, an archive (tar or zip),
        TFRecords, or a text file (`@list`, or ending in `.txt`) that names files, archives or TFRecords one a line. A
        wildcard means something only where there is nothing of that very name.
    Raises:
      UserError: an input stands for nothing, for nothing that can be read, or for an unfinished dataset.
    """
    found, paths = Found(), dict[str, None]()
    for one in inputs:
        before = len(found.items)
        listed = list(_paths(one, found))
        if not listed and len(found.items) == before:
            other = f" (other files: {endings_text(found.endings)})" if found.endings else ""
            raise UserError(
                f"--input {one} matches no images{other}: give files, folders, .tar or .zip archives, TFRecords or a "
                "list of paths; quote a pattern, e.g. 'photos/*.png'"
            )
        paths.update(dict.fromkeys(listed))
    finished: dict[str, dict[str, Shard]] = {}
    # Those in lists, too; each bucket once.
    for bucket in sorted({"/".join(path.split("/")[:3]) for path in paths if listing.is_remote(path)}):
        places.check("--input", bucket)
    for path in paths:
        found.items.extend(_items(path, found, finished))
    found.items.sort(key=lambda item: (item.key, item.path, item.start))
    _mark_duplicates(found.items)
    return found


def check_readable(found: Found) -> None:
    """Raise UserError where there is nothing to read: only rejects, or only other files."""
    if not found.items:
        raise UserError(f"--input holds no images, but other files: {endings_text(found.endings) or 'none'}")
    if all(item.reject for item in found.items):
        reason, detail = found.items[0].reject or ("", "")
        first = f"the first one, {found.items[0].key}: {reason}, {detail}"
        raise UserError(f"none of {len(found.items)} found for --input can be read, {first}")


def endings_text(endings: Counter[str]) -> str:
    """Write endings and their counts in a line, the most frequent first, e.g. `12 .txt, 3 without`."""
    return ", ".join(f"{count} {ending or 'without ending'}" for ending, count in endings.most_common(8))


def printable(name: str) -> str:
    """A name as text; what of it is no UTF-8 becomes `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _paths(one: str, found: Found) -> Iterator[str]:
    """The files that an input stands for."""
    if listing.is_remote(one):
        yield from _remote_paths(one, found)
    elif os.path.isdir(one):
        yield from _wanted(map(os.path.normpath, _below(one, found)), found)
    elif one.startswith("@") or one.endswith(".txt"):
        yield from _listed(one if os.path.exists(one) else one.removeprefix("@"))
    elif os.path.lexists(one) or not listing.has_wildcard(one):
        yield from [os.path.normpath(one)] if os.path.lexists(one) else []
    else:
        yield from listing.match(one)


def _remote_paths(one: str, found: Found) -> Iterator[str]:
    if one.endswith(".txt"):
        yield from _listed(one)
    elif below := [file.path for file in listing.below(one, on_error=lambda _: None)]:
        yield from _wanted(below, found)
    elif FileSystems.exists(one):
        yield one
    elif listing.has_wildcard(one):
        yield from listing.match(one)


def _below(top: str, found: Found) -> Iterator[str]:
    """The files below a folder. Links to folders are not followed, but counted; what cannot be listed is rejected."""

    def reject(error: OSError) -> None:
        folder = printable(os.path.normpath(error.filename))
        found.items.append(Item(folder, folder, reject=("unreadable", f"files below this are lost: {error.strerror}")))

    for file in listing.below(top, on_error=reject):
        if not file.is_regular and os.path.isdir(file.path):
            found.endings[LINK_TO_FOLDER] += 1
        else:
            yield file.path


def _listed(path: str) -> Iterator[str]:
    path = path.removeprefix("@") if listing.is_remote(path) else path
    if not FileSystems.exists(path):
        raise UserError(f"there is no list {path}: give --input a text file with a path a line")
    try:
        with listing.opened(path) as file:
            # Not splitlines(): names may hold what it takes for the end of a line.
            lines = file.read().decode("utf-8-sig", "surrogateescape").split("\n")
    except NotAFile as error:
        raise UserError(f"--input {path}: {error}; give a text file with a path a line") from error
    for line in lines:
        line = line.removesuffix("\r")
        if line.strip():
            yield line.strip() if listing.is_remote(line) else os.path.normpath(line.strip())


def _wanted(paths: Iterable[str], found: Found) -> Iterator[str]:
    for path in paths:
        if path.lower().endswith((*IMAGE_ENDINGS, *archives.endings())) or RECORDS in _name(path):
            yield path
        else:
            found.endings[archives.ending(printable(path))] += 1


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _items(path: str, found: Found, finished: dict[str, dict[str, Shard]]) -> Iterator[Item]:
    """The images in a file, which may be one itself."""
    if not listing.is_remote(path):
        try:
            check_regular(path)
        except NotAFile as error:
            yield Item(printable(path), path, reject=("not-a-file", str(error)))
            return
        except OSError:  # whoever reads it finds out what it is
            yield Item(printable(path), path)
            return
    if RECORDS in _name(path):
        _check_finished(path, finished)
        yield from _records(path)
    elif _is_archive(path):
        yield from _members(path, found)
    else:
        yield Item(printable(path), path)


def _is_archive(path: str) -> bool:
    """Whether a file is one, as its ending says, or where that says nothing, its content."""
    if path.lower().endswith(archives.endings()):
        return True
    if listing.is_remote(path) or path.lower().endswith(IMAGE_ENDINGS):
        return False
    try:
        with listing.opened(path) as file:
            return archives.kind_of(file.read(1024)) is not None
    except OSError:
        return False


def _members(path: str, found: Found) -> Iterator[Item]:
    """The images in an archive; where it is damaged, what comes before the damage, and one reject."""
    try:
        with listing.opened(path) as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(0)
            for member in archives.members(file, size, found.endings):
                key = printable(f"{path}/{member.name}" if member.name else path)
                yield Item(key, path, "zipped" if member.zipped else "member", member.start, member.size, member.reject)
    except OSError as error:
        _raise_if_remote(path, error)
        yield Item(printable(path), path, reject=("unreadable", f"members behind this are lost: {error}"))


def _records(path: str) -> Iterator[Item]:
    """The records of a file; where its framing is damaged, those before, and one reject."""
    position, number = 0, -1
    try:
        with listing.opened(path) as file:
            for number, data in enumerate(tfrecord.read_framed(file)):
                start, position = position + _FRAME_HEADER, position + _FRAME + len(data)
                try:
                    yield Item(records.from_example(data).key, path, "record", start, len(data))
                except Damaged as error:
                    yield Item(printable(f"{path}:{number}"), path, reject=("damaged-record", str(error)))
        if number < 0:
            yield Item(printable(path), path, reject=("empty-records", "the file has no records"))
    except (Damaged, OSError) as error:
        _raise_if_remote(path, error)
        yield Item(printable(path), path, reject=("damaged-record", f"records behind this are lost: {error}"))


def _raise_if_remote(path: str, error: Exception) -> None:
    """An object store that fails says nothing about the file."""
    if isinstance(error, OSError) and listing.is_remote(path):
        raise error


def _check_finished(path: str, finished: dict[str, dict[str, Shard]]) -> None:
    """Check that a shard belongs to a finished dataset, and is as long as it was written.

    `finished` are the shards of the datasets looked at so far, by folder and name.
    """
    folder, name = os.path.dirname(path), _name(path)
    if folder not in finished:
        marker = FileSystems.join(folder, dataset_info.COMPLETED_FILE) if folder else dataset_info.COMPLETED_FILE
        if not FileSystems.exists(marker):
            raise UserError(
                f"{path}: there is no {marker}, so the dataset is not finished; run what was writing it again"
            )
        finished[folder] = _shards(folder)
    if (shard := finished[folder].get(name)) is not None:
        file = listing.remote_file(path) if listing.is_remote(path) else listing.file(path)
        shard_sizes.check_one(path, shard, None if file is None else file.size)


def _shards(folder: str) -> dict[str, Shard]:
    """Return the shards that the description of a dataset lists, none where it has no description."""
    if dataset_info.INFO_FILE not in listing.files(folder):
        return {}
    return {shard.name: shard for split in writer.read_info(folder).splits.values() for shard in split.shards}


def _mark_duplicates(items: list[Item]) -> None:
    """Rejects all but the first of those with one key."""
    for i in range(1, len(items)):
        if items[i].key == items[i - 1].key:
            items[i] = items[i]._replace(reject=("duplicate-key", f"in {items[i].path}; another has the same key"))
