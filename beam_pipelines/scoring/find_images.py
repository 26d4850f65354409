"""Find the images that the scorer's --input names: in files, archives and records, each with its own key.

Archives and record files are scanned once for names and positions; no image is read.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.dataset import writer
from beam_pipelines.inputs import archives
from beam_pipelines.scoring import endings, image_list, sorting
from beam_pipelines.scoring.image_list import Item
from beam_pipelines.scoring.sorting import Collection
from beam_pipelines.sharding import listing, places
from beam_pipelines.sharding.listing import File
from trainer.cli import UserError
from trainer.data.formats import dataset_info, records, shard_sizes, tfrecord
from trainer.data.formats.dataset_info import Shard
from trainer.data.formats.tfrecord import Damaged
from trainer.data.images.image_kinds import IMAGE_ENDINGS
from trainer.files.local_file import NotAFile, check_regular

RECORDS = ".tfrecord"  # somewhere in the name
LINK_TO_FOLDER = "link to a folder"  # counted among the extensions of other files
NamedFile = tuple[str, tuple[int, float] | None]  # the path of a file, and its size and time if they are known
_FRAME_HEADER, _FRAME = 12, 16  # bytes of a TFRecord's framing before its data, and in total


@dataclass
class Found:
    """The images that the inputs name, and the other files there.

    Attributes:
      items: in the order of their keys; an `ImageList`, so not in memory.
      endings: other files in folders and archives, counted by extension.
      named: the paths of files that are inputs themselves, rather than part of a folder, a pattern or a list.
    """

    items: Sequence[Item]
    endings: Counter[str] = field(default_factory=Counter)
    named: set[str] = field(default_factory=set)

    @property
    def others(self) -> int:
        return self.endings.total()


def find(inputs: Iterable[str], scratch: str) -> Found:
    """Find the images.

    Args:
      inputs: each a file, a folder or a prefix with files below it, a pattern with wildcards, an archive (tar or zip),
        TFRecords, or a text file (`@list`, or ending in `.txt`) that names files, archives or TFRecords, one per line.
        Wildcards are expanded only if nothing has exactly that name.
      scratch: a local folder for the file with the list, `image_list.IMAGES_FILE`, which is read whenever the list is.
    Raises:
      UserError: an input matches nothing, contains nothing readable, or is an unfinished dataset.
    """
    with sorting.collection() as collected:
        found, buckets = Found([]), set[str]()
        for one in inputs:
            _collect(one, found, collected, buckets)
        finished: dict[str, dict[str, Shard]] = {}
        collected.add(
            item._replace(file=file) for path, file in collected.files() for item in _items(path, found, finished)
        )
        path = os.path.join(scratch, image_list.IMAGES_FILE)
        with open(path, "wb") as out:
            found.items = image_list.write(out, path, _duplicates_rejected(collected.items()))
    return found


def _collect(one: str, found: Found, collected: Collection, buckets: set[str]) -> None:
    """Add the files that an input names, and check their buckets (also those named in lists), unless in `buckets`.

    Raises:
      UserError: the input matches nothing, or names a store that cannot be read.
    """
    before, count, path = collected.count, 0, ""
    for path, file in _paths(one, found, collected):
        count += 1
        collected.add_file(path, file)
        if listing.is_remote(path) and (bucket := listing.bucket_of(path)) not in buckets:
            buckets.add(bucket)
            places.check("--input", bucket)
    if not count and collected.count == before:
        other = f" (other files: {endings.text(found.endings)})" if found.endings else ""
        raise UserError(
            f"--input {one} matches no images{other}: give files, folders, .tar or .zip archives, TFRecords or a "
            "list of paths; quote a pattern, e.g. 'photos/*.png'"
        )
    if count == 1 and path in (one, os.path.normpath(one)):
        found.named.add(path)


def printable(name: str) -> str:
    """Return a name as text; bytes that are not UTF-8 become `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _paths(one: str, found: Found, collected: Collection) -> Iterator[NamedFile]:
    """Yield the files that an input names."""
    if listing.is_remote(one):
        yield from _remote_paths(one, found)
        return
    if os.path.isdir(one):
        yield from _below(one, found, collected)
        return
    paths: Iterable[str]
    if one.startswith("@") or one.endswith(".txt"):
        paths = _listed(one if os.path.exists(one) else one.removeprefix("@"))
    elif os.path.lexists(one) or not listing.has_wildcard(one):
        paths = [os.path.normpath(one)] if os.path.lexists(one) else []
    else:
        paths = listing.match(one)
    for path in paths:
        file = None if listing.is_remote(path) else listing.file(path) or File(path, 0, 0.0)
        yield path, file and (file.size, file.updated)


def _remote_paths(one: str, found: Found) -> Iterator[NamedFile]:
    if one.endswith(".txt"):
        yield from ((path, None) for path in _listed(one))
        return
    files = listing.below(one, on_error=lambda _: None)
    if first := next(files, None):
        for file in itertools.chain([first], files):
            if _is_wanted(file.path, found):
                yield file.path, (file.size, file.updated)
        return
    if listing.exists(one):
        yield one, None
    elif listing.has_wildcard(one):
        yield from ((path, None) for path in listing.match(one))


def _below(top: str, found: Found, collected: Collection) -> Iterator[NamedFile]:
    """Yield the files below a folder that may hold images.

    Links to folders are only counted; folders that cannot be listed become rejects.
    """

    def reject(error: OSError) -> None:
        folder = printable(os.path.normpath(error.filename))
        collected.add([Item(folder, folder, reject=("unreadable", f"files below it are lost: {error.strerror}"))])

    for file in listing.below(top, on_error=reject):
        if not file.is_regular and os.path.isdir(file.path):
            found.endings[LINK_TO_FOLDER] += 1
        elif _is_wanted(path := os.path.normpath(file.path), found):
            yield path, (file.size, file.updated)


def _listed(path: str) -> Iterator[str]:
    path = path.removeprefix("@") if listing.is_remote(path) else path
    if not listing.exists(path):
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


def _is_wanted(path: str, found: Found) -> bool:
    """Return whether a file in a folder may hold images; count it otherwise."""
    if path.lower().endswith((*IMAGE_ENDINGS, *archives.endings())) or RECORDS in _name(path):
        return True
    found.endings[archives.ending(printable(path))] += 1
    return False


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
        except OSError:  # when the image is read, this error occurs again and becomes a reject
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
    """Raise an object store's error again, since it does not mean that the file is damaged."""
    if isinstance(error, OSError) and listing.is_remote(path):
        raise error


def _check_finished(path: str, finished: dict[str, dict[str, Shard]]) -> None:
    """Check that a shard belongs to a finished dataset, and still has its original size.

    `finished` holds the shards of the datasets seen so far, by folder and name.
    """
    folder, name = os.path.dirname(path), _name(path)
    if folder not in finished:
        marker = FileSystems.join(folder, dataset_info.COMPLETED_FILE) if folder else dataset_info.COMPLETED_FILE
        if not listing.exists(marker):
            raise UserError(
                f"{path}: {marker} is missing, so the dataset is not finished; run the command that wrote it again"
            )
        finished[folder] = _shards(folder)
    if (shard := finished[folder].get(name)) is not None:
        file = listing.remote_file(path) if listing.is_remote(path) else listing.file(path)
        shard_sizes.check_one(path, shard, None if file is None else file.size)


def _shards(folder: str) -> dict[str, Shard]:
    """Return the shards that the description of a dataset lists; empty if it has no description."""
    if dataset_info.INFO_FILE not in listing.files(folder):
        return {}
    return {shard.name: shard for split in writer.read_info(folder).splits.values() for shard in split.shards}


def _duplicates_rejected(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items that are sorted by key; all but the first with the same key become rejects."""
    before = None
    for item in items:
        is_repeated = item.key == before
        before = item.key
        yield (
            item._replace(reject=("duplicate-key", f"in {item.path}; another has the same key"))
            if is_repeated
            else item
        )
