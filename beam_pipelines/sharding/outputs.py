"""Manage output folders: who wrote their files, whether they are complete, and removing files of earlier runs.

A marker is written to a folder before anything else. It lists the names of the files to be written, so that later runs
remove files with exactly these names, and nothing else. A folder with any other file in it is rejected.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing
from beam_pipelines.sharding.whole_file import whole_file
from trainer.cli import UserError
from trainer.data.formats.output_names import OutputNames

MARKER_FILE = ".svhn-output.json"
LOCK_FILE = ".svhn-lock"  # of a run; partitions append a hash of the request and their number
LIST_LOCK_FILE = f"{LOCK_FILE}-list"  # of the partition that lists the images for all
NOTE = ".tmp-share-"  # in the name of a partition's note: what it wrote, until the output is complete
_OURS = "written by"
_PROGRAM = "svhn-sequences"
_SHARD = re.compile(r"(?P<before>.+)-(?P<index>\d{5,})-of-(?P<count>\d{5,})(?P<after>[.\w]*)")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}$")
_LOCK = re.compile(rf"{re.escape(LOCK_FILE)}(-list|-[0-9a-f]{{8}}-\d{{5,}}-of-\d{{5,}})?")
_NOTE_END = re.compile(rf"{re.escape(NOTE)}\d{{5,}}-of-\d{{5,}}$")


@dataclass(frozen=True)
class Kind:
    """The files that a kind of output consists of, besides its shards.

    Attributes:
      names: of the files that do not depend on the request.
      former: the names of these files in earlier versions, whose markers do not list them.
      further: other files, which may be in subfolders.
      shards_of: returns the names of the shards that the text of a description lists.
    """

    names: OutputNames
    former: OutputNames
    further: tuple[str, ...]
    shards_of: Callable[[str], Iterable[str]]

    @property
    def fixed(self) -> frozenset[str]:
        """The names that do not depend on the request."""
        return self.fixed_under(self.names)

    def fixed_under(self, names: OutputNames) -> frozenset[str]:
        return frozenset((MARKER_FILE, *names, *self.further))


@dataclass(frozen=True)
class _Marked:
    """The content of a marker: the templates of shard names, and the names of all other files to be written."""

    templates: frozenset[str]
    fixed: frozenset[str]

    def has(self, name: str) -> bool:
        """Return whether this program wrote a file of this name."""
        name = _NOTE_END.sub("", _TEMPORARY.sub("", name))
        return name in self.fixed or _template(name) in self.templates or is_lock(name)


def is_done(output: str, kind: Kind, same: Callable[[str], bool], *, overwrite: bool) -> bool:
    """Return whether exactly this output is already complete.

    Args:
      output: the folder.
      kind: of output.
      same: returns whether the text of a description is that of the current request.
      overwrite: replace a finished output.
    Raises:
      UserError: the folder holds another output that may not be replaced, or files that this program did not write,
        or is not writable.
    """
    found = listing.files(output)
    complete = [names for names in (kind.names, kind.former) if names.completed in found and not overwrite]
    for names in complete:
        # In a complete output, files that others have added do not matter.
        with suppress(UserError, ValueError, TypeError, KeyError, AttributeError):  # not a valid description
            if _is_readable(found, names.description) and same(_read(output, names.description)):
                return True
    check_strangers(output, kind)
    if complete:
        raise UserError(
            f"{output} is complete, but was written from other inputs or with other options: choose another --output, "
            "or replace it with --overwrite"
        )
    check_place(output)
    return False


def check_strangers(output: str, kind: Kind) -> None:
    """Check that this program wrote all files in a folder.

    Raises:
      UserError: it did not write all of them; the message names one.
    """
    files = _listed(output, kind)  # before the marker is read: another partition may write both in between
    marked = _marked(output, kind)
    for name, file in sorted(files.items()):
        if marked is None:  # another partition may be writing the marker
            whole = _TEMPORARY.sub("", name)
            ours = is_lock(whole) or (whole == MARKER_FILE and name != MARKER_FILE)
        else:
            ours = marked.has(name)
        if not ours or not file.is_regular:
            raise UserError(
                f"{output} holds {name}, which this program did not write: choose another --output, or move it away"
            )


def mark(output: str, kind: Kind, shards: Collection[str], *, forget: bool = False) -> None:
    """Record in the marker the names of shards, in addition to all names of earlier runs unless `forget`."""
    if not listing.is_remote(output):
        os.makedirs(output, exist_ok=True)
    before = (None if forget else _marked(output, kind)) or _Marked(frozenset(), frozenset())
    templates = before.templates | {_template(name) or name for name in shards}
    with whole_file(FileSystems.join(output, MARKER_FILE)) as file:
        marked = {_OURS: _PROGRAM, "shards": sorted(templates)}
        if kind.former != kind.names:
            marked["files"] = sorted(before.fixed | kind.fixed)
        text = json.dumps(marked)
        file.write(f"{text}\n".encode())


def remove(output: str, kind: Kind, *, keep: Collection[str] = (), everything: bool = False) -> None:
    """Remove the files of earlier runs from a folder.

    The completion file is removed first, so that no reader mistakes the rest for a complete output, and the marker
    last.

    Args:
      output: the folder.
      kind: of output.
      keep: names to keep, since others may be writing them; if there are any, temporary files of fixed names are kept,
        too.
      everything: also remove the marker, and subfolders that are then empty.
    """
    mark(output, kind, ())  # for an output of version 0.1.0, and for the next run if this one is killed
    marked = _marked(output, kind)
    names = [name for name in _listed(output, kind) if name not in keep and not is_lock(name)]
    if keep:  # another partition may be writing a temporary file of one of these
        names = [name for name in names if _TEMPORARY.sub("", name) not in kind.fixed]
    order = {kind.names.completed: 0, kind.former.completed: 0, MARKER_FILE: 2}
    for name in sorted(names, key=lambda name: order.get(name, 1)):
        if marked and marked.has(name) and (everything or name != MARKER_FILE):
            _delete(FileSystems.join(output, name))
    if everything and not listing.is_remote(output):
        for folder in {os.path.dirname(name) for name in kind.further} - {""}:
            with suppress(OSError):  # missing, or not empty
                os.rmdir(os.path.join(output, folder))


def _delete(path: str) -> None:
    try:
        listing.delete(path)
    except OSError:
        if listing.exists(path):  # otherwise another process that found the output complete has removed it
            raise


def _template(name: str) -> str | None:
    """Return a shard's name without its number, e.g. `train.tfrecord-*-of-00008`; None for other names."""
    match = _SHARD.fullmatch(name)
    if match is None or int(match["index"]) >= int(match["count"]):
        return None
    return f"{match['before']}-*-of-{match['count']}{match['after']}"


def _marked(output: str, kind: Kind) -> _Marked | None:
    """Return the names that earlier runs wrote; None if no earlier run is known."""
    found = listing.files(output)
    if MARKER_FILE in found:
        if not _is_readable(found, MARKER_FILE):
            return None
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            marker = json.loads(_read(output, MARKER_FILE))
            if marker[_OURS] == _PROGRAM:
                fixed = marker.get("files", kind.fixed_under(kind.former))
                return _Marked(frozenset(marker["shards"]), frozenset(fixed))
        return None
    for names in (kind.names, kind.former):
        if names.completed in found and _is_readable(found, names.description):  # finished, of version 0.1.0
            with suppress(UserError, ValueError, TypeError, KeyError, AttributeError):
                templates = {_template(name) for name in kind.shards_of(_read(output, names.description))}
                return _Marked(frozenset(filter(None, templates)), kind.fixed_under(names))
    return None


def _is_readable(found: dict[str, listing.File], name: str) -> bool:
    """Return whether a file exists and is, e.g., not a dangling link."""
    return name in found and found[name].is_regular


def _listed(output: str, kind: Kind) -> dict[str, listing.File]:
    """Return the files in the folder and in the subfolders that we write to; links count as files."""
    files = dict(listing.files(output))
    for folder in {os.path.dirname(name) for name in kind.further} - {""}:
        path = FileSystems.join(output, folder)
        if not listing.is_remote(output) and os.path.islink(path):
            files[folder] = listing.File(path, 0, 0.0, is_regular=False)
        else:
            files |= {f"{folder}/{name}": file for name, file in listing.files(path).items()}
    if not listing.is_remote(output):
        links = [name for name in files if os.path.islink(os.path.join(output, name))]
        files |= {name: files[name]._replace(is_regular=False) for name in links}
    return files


def _read(output: str, name: str) -> str:
    with FileSystems.open(FileSystems.join(output, name)) as file:
        return file.read().decode()


def check_place(output: str) -> None:
    """Raise UserError if a local folder cannot be written to, nor made."""
    if "://" in output:
        return
    place = os.path.abspath(output)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.W_OK):
        raise UserError(f"--output {output}: {place} is not a writable folder; choose another --output")


def is_complete(output: str, kind: Kind) -> bool:
    """Return whether a folder has the completion file of this or of an earlier version."""
    return any(listing.exists(FileSystems.join(output, name.completed)) for name in {kind.names, kind.former})


def note_name(names: OutputNames, index: int, count: int) -> str:
    """Return the name of a partition's note."""
    return f"{names.completed}{NOTE}{index:05d}-of-{count:05d}"


def is_lock(name: str) -> bool:
    """Return whether a lock file has this name."""
    return bool(_LOCK.fullmatch(name))


def name_of(path: str) -> str:
    """Return a file's name without its folder."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def sizes(folder: str) -> dict[str, int]:
    """Return the size in bytes of each file in a folder; in an object store, a folder is just a common prefix."""
    return {name: file.size for name, file in listing.files(folder).items()}


def holds_files(folder: str) -> bool:
    """Return whether a folder exists and has files directly in it."""
    return bool(sizes(folder))
