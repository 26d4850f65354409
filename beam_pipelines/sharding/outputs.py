"""Output folders: whose files are in one, whether it is complete, and how to remove what earlier runs left.

A marker is written to a folder before anything else. It lists the names under which shards are written there, so that
later runs remove files with exactly those names, and nothing else. A folder with any other file in it is rejected.
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
from trainer.data.dataset_info import COMPLETED_FILE, REJECTS_FILE

MARKER_FILE = ".svhn-output.json"
LOCK_FILE = ".svhn-lock"  # of a run; partitions append the request and their number
NOTE = f"{COMPLETED_FILE}.tmp-share-"  # what a partition wrote, until the output is complete
_OURS = "written by"
_PROGRAM = "svhn-sequences"
_SHARD = re.compile(r"(?P<before>.+)-(?P<index>\d{5,})-of-(?P<count>\d{5,})(?P<after>[.\w]*)")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}$")
_LOCK = re.compile(rf"{re.escape(LOCK_FILE)}(-[0-9a-f]{{8}}-\d{{5,}}-of-\d{{5,}})?")
_NOTE = re.compile(rf"{re.escape(NOTE)}\d{{5,}}-of-\d{{5,}}")


@dataclass(frozen=True)
class Kind:
    """The files that a kind of output consists of, besides its shards.

    Attributes:
      description: the file that says what was asked for, and lists the shards.
      further: other files, which may be in subfolders.
      shards_of: returns the names of the shards that the text of a description lists.
    """

    description: str
    further: tuple[str, ...]
    shards_of: Callable[[str], Iterable[str]]

    @property
    def fixed(self) -> frozenset[str]:
        """The names that do not depend on what was asked for."""
        return frozenset((MARKER_FILE, COMPLETED_FILE, REJECTS_FILE, self.description, *self.further))


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
    names = listing.files(output)
    is_complete = COMPLETED_FILE in names and not overwrite
    if is_complete and kind.description in names:
        # Then it does not matter what others have put beside it.
        with suppress(UserError, ValueError, TypeError, KeyError, AttributeError):  # not a valid description
            if same(_read(output, kind.description)):
                return True
    check_strangers(output, kind)
    if is_complete:
        raise UserError(
            f"{output} is complete, but was written from other inputs or with other options: choose another --output, "
            "or replace it with --overwrite"
        )
    _check_place(output)
    return False


def check_strangers(output: str, kind: Kind) -> None:
    """Check that this program wrote all files in a folder.

    Raises:
      UserError: it did not; the message names a file.
    """
    files = _listed(output, kind)  # before the marker is read: another partition may write both in between
    templates = _templates(output, kind)
    for name, file in sorted(files.items()):
        if templates is None:  # another partition may be writing the marker
            whole = _TEMPORARY.sub("", name)
            ours = is_lock(whole) or (whole == MARKER_FILE and name != MARKER_FILE)
        else:
            ours = _is_ours(name, kind, templates)
        if not ours or not file.is_regular:
            raise UserError(
                f"{output} holds {name}, which this program did not write: choose another --output, or move it away"
            )


def mark(output: str, kind: Kind, shards: Collection[str], *, forget: bool = False) -> None:
    """Record in the marker the names of shards, in addition to those of earlier runs unless `forget`."""
    if not listing.is_remote(output):
        os.makedirs(output, exist_ok=True)
    before = set() if forget else _templates(output, kind) or set()
    templates = before | {_template(name) or name for name in shards}
    with whole_file(FileSystems.join(output, MARKER_FILE)) as file:
        text = json.dumps({_OURS: _PROGRAM, "shards": sorted(templates)})
        file.write(f"{text}\n".encode())


def remove(output: str, kind: Kind, *, keep: Collection[str] = (), everything: bool = False) -> None:
    """Remove what earlier runs left in a folder.

    COMPLETED is removed first, so that no reader takes the rest for a complete output, and the marker last.

    Args:
      output: the folder.
      kind: of output.
      keep: names that stay, since others may be writing them; if any, temporary files of fixed names stay, too.
      everything: also remove the marker, and subfolders that are then empty.
    """
    mark(output, kind, ())  # for an output of version 0.1.0, and for the next run if this one is killed
    templates = _templates(output, kind) or set()
    names = [name for name in _listed(output, kind) if name not in keep and not is_lock(name)]
    if keep:  # another partition may be writing a temporary file of one of these
        names = [name for name in names if _TEMPORARY.sub("", name) not in kind.fixed]
    order = {COMPLETED_FILE: 0, MARKER_FILE: 2}
    for name in sorted(names, key=lambda name: order.get(name, 1)):
        if _is_ours(name, kind, templates) and (everything or name != MARKER_FILE):
            _delete(FileSystems.join(output, name))
    if everything and not listing.is_remote(output):
        for folder in {os.path.dirname(name) for name in kind.further} - {""}:
            with suppress(OSError):  # missing, or not empty
                os.rmdir(os.path.join(output, folder))


def _delete(path: str) -> None:
    try:
        listing.delete(path)
    except OSError:
        if FileSystems.exists(path):  # otherwise another process that found the output complete has removed it
            raise


def _is_ours(name: str, kind: Kind, templates: Collection[str]) -> bool:
    name = _TEMPORARY.sub("", name)
    return name in kind.fixed or _template(name) in templates or bool(_NOTE.fullmatch(name)) or is_lock(name)


def _template(name: str) -> str | None:
    """Return a shard's name without its number, e.g. `train.tfrecord-*-of-00008`; None for other names."""
    match = _SHARD.fullmatch(name)
    if match is None or int(match["index"]) >= int(match["count"]):
        return None
    return f"{match['before']}-*-of-{match['count']}{match['after']}"


def _templates(output: str, kind: Kind) -> set[str] | None:
    """Return the templates of the shard names of earlier runs; None if no earlier run is known."""
    names = listing.files(output)
    if MARKER_FILE in names:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            marker = json.loads(_read(output, MARKER_FILE))
            if marker[_OURS] == _PROGRAM:
                return set(marker["shards"])
        return None
    if {COMPLETED_FILE, kind.description} <= names.keys():  # a finished output of version 0.1.0
        with suppress(UserError, ValueError, TypeError, KeyError, AttributeError):
            templates = {_template(name) for name in kind.shards_of(_read(output, kind.description))}
            return {template for template in templates if template}
    return None


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


def _check_place(output: str) -> None:
    if "://" in output:
        return
    place = os.path.abspath(output)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.W_OK):
        raise UserError(f"--output {output}: {place} is not a writable folder; choose another --output")


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
