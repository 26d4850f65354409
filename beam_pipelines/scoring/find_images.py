"""Find the images that the scorer's --input names: in files, archives and records, each with its own key.

Archives and record files are scanned once for names and positions; no image is read.
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
LINK_TO_FOLDER = "link to a folder"  # among the extensions of other files
_FRAME_HEADER, _FRAME = 12, 16  # bytes of a TFRecord's framing before its data, and in total


class Item(NamedTuple):
    """An image, or the reject in its place.

    Attributes:
      key: unique except among rejects: the path, `archive.tar/member`, or the record's own.
      path: of the file that contains it.
      kind: how it is stored there; for `row`, see `carried_rows`.
      start, size: position in the file, in bytes, of a member or record; for a zipped member, that of its header.
      reject: reason and detail, if it is already clear that it cannot be read.
    """

    key: str
    path: str
    kind: Literal["file", "member", "zipped", "record", "row"] = "file"
    start: int = 0
    size: int = 0
    reject: tuple[str, str] | None = None


@dataclass
class Found:
    """Items in the order of their keys, and other files in folders and archives, counted by extension.

    `named` holds the paths of files that an input names itself, rather than a folder, a pattern or a list.
    """

    items: list[Item] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)

    @property
    def others(self) -> int:
        return self.endings.total()


def find(inputs: Iterable[str]) -> Found:
    """Find the images.

    Args:
      inputs: each a file, a folder or a prefix with files below it, a pattern with wildcards, an archive (tar or zip),
        TFRecords, or a text file (`@list`, or ending in `.txt`) that names files, archives or TFRecords, one per line.
        Wildcards are expanded only if nothing has exactly that name.
    Raises:
      UserError: an input matches nothing, nothing that can be read, or an unfinished dataset.
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
        if listed in ([one], [os.path.normpath(one)]):
            found.named.add(listed[0])
    finished: dict[str, dict[str, Shard]] = {}
    # Including those in lists; each bucket is checked once.
    for bucket in sorted({"/".join(path.split("/")[:3]) for path in paths if listing.is_remote(path)}):
        places.check("--input", bucket)
    for path in paths:
        found.items.extend(_items(path, found, finished))
    found.items.sort(key=lambda item: (item.key, item.path, item.start))
    _mark_duplicates(found.items)
    return found


def endings_text(endings: Counter[str]) -> str:
    """Return extensions and their counts in a line, the most frequent first, e.g. `12 .txt, 3 without extension`."""
    return ", ".join(f"{count} {ending or 'without extension'}" for ending, count in endings.most_common(8))


def printable(name: str) -> str:
    """Return a name as text; bytes that are not UTF-8 become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _paths(one: str, found: Found) -> Iterator[str]:
    """Yield the files that an input names."""
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
    """Yield the files below a folder; links to folders are only counted, folders that cannot be listed rejected."""

    def reject(error: OSError) -> None:
        folder = printable(os.path.normpath(error.filename))
        found.items.append(Item(folder, folder, reject=("unreadable", f"files below it are lost: {error.strerror}")))

    for file in listing.below(top, on_error=reject):
        if not file.is_regular and os.path.isdir(file.path):
            found.endings[LINK_TO_FOLDER] += 1
        else:
            yield file.path


def _listed(path: str) -> Iterator[str]:
    path = path.removeprefix("@") if listing.is_remote(path) else path
    if not FileSystems.exists(path):
        raise UserError(f"the list {path} does not exist: give --input a text file with one path per line")
    try:
        with listing.opened(path) as file:
            # Not splitlines(): names may contain characters that it treats as line ends.
            lines = file.read().decode("utf-8-sig", "surrogateescape").split("\n")
    except NotAFile as error:
        raise UserError(f"--input {path}: {error}; give a text file with one path per line") from error
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
    """Yield the images in a file, which may itself be one."""
    if not listing.is_remote(path):
        try:
            check_regular(path)
        except NotAFile as error:
            yield Item(printable(path), path, reject=("not-a-file", str(error)))
            return
        except OSError:  # reading it will raise this error again, as a reject
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
    """Return whether a file is an archive, judged by its extension or, if that is unknown, by its content."""
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
    """Yield the images in an archive; if it is damaged, those before the damage, and one reject."""
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
        yield Item(printable(path), path, reject=("unreadable", f"members after this point are lost: {error}"))


def _records(path: str) -> Iterator[Item]:
    """Yield the records of a file; if its framing is damaged, those before the damage, and one reject."""
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
        yield Item(printable(path), path, reject=("damaged-record", f"records after this point are lost: {error}"))


def _raise_if_remote(path: str, error: Exception) -> None:
    """Raise an object store's error again: it says nothing about the file."""
    if isinstance(error, OSError) and listing.is_remote(path):
        raise error


def _check_finished(path: str, finished: dict[str, dict[str, Shard]]) -> None:
    """Check that a shard belongs to a finished dataset, and still has its original size.

    `finished` holds the shards of the datasets seen so far, by folder and name.
    """
    folder, name = os.path.dirname(path), _name(path)
    if folder not in finished:
        marker = FileSystems.join(folder, dataset_info.COMPLETED_FILE) if folder else dataset_info.COMPLETED_FILE
        if not FileSystems.exists(marker):
            raise UserError(
                f"{path}: {marker} is missing, so the dataset is not finished; run the command that wrote it again"
            )
        finished[folder] = _shards(folder)
    if (shard := finished[folder].get(name)) is not None:
        file = listing.remote_file(path) if listing.is_remote(path) else listing.file(path)
        shard_sizes.check_one(path, shard, None if file is None else file.size)


def _shards(folder: str) -> dict[str, Shard]:
    """Return the shards that the description of a dataset lists, none if it has no description."""
    if dataset_info.INFO_FILE not in listing.files(folder):
        return {}
    return {shard.name: shard for split in writer.read_info(folder).splits.values() for shard in split.shards}


def _mark_duplicates(items: list[Item]) -> None:
    """Reject all but the first of the items with the same key."""
    for i in range(1, len(items)):
        if items[i].key == items[i - 1].key:
            items[i] = items[i]._replace(reject=("duplicate-key", f"in {items[i].path}; another has the same key"))
