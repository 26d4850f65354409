"""Output folders: whether one is finished, and removing what is not."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from apache_beam.io.filesystems import FileSystems

from trainer.cli import UserError
from trainer.records import COMPLETED_FILE, REJECTS_FILE


def is_done(
    output: str,
    description: str,
    same: Callable[[str], bool],
    *,
    overwrite: bool,
    part: str,
    subfolders: tuple[str, ...] = (),
    keep: bool = False,
) -> bool:
    """Whether this very output is there already; what an unfinished or replaced one left is removed.

    Args:
      output: the folder.
      description: the file in it that says what was asked for.
      same: tells from that file's text whether the same is asked for now.
      overwrite: replace a finished output.
      part: what all names of shards contain.
      subfolders: folders that may be in it.
      keep: remove nothing, since others are writing, too.
    Raises:
      UserError: the folder holds another output that may not be replaced, or foreign files, or is no folder that
        can be written to.
    """
    names = sorted(sizes(output))
    ours = (COMPLETED_FILE, REJECTS_FILE, description, *subfolders)
    foreign = [name for name in names if part not in name and name.split(".tmp-")[0] not in ours]
    if foreign:
        raise UserError(f"{output} holds {foreign[0]}, which is not ours to replace: choose another --output")
    if COMPLETED_FILE in names and not overwrite:
        if description in names:
            with FileSystems.open(FileSystems.join(output, description)) as file:
                if same(file.read().decode()):
                    return True
        raise UserError(f"{output} is complete, but made with other options: choose another --output, or --overwrite")
    _check_place(output)
    if not keep:
        remove(output, subfolders=subfolders)
    return False


def _check_place(output: str) -> None:
    if "://" in output:
        return
    place = os.path.abspath(output)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.W_OK):
        raise UserError(f"--output {output}: {place} is no folder that can be written to; choose another")


def name_of(path: str) -> str:
    """A file's name without its folder."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def sizes(folder: str) -> dict[str, int]:
    """The files in a folder, in bytes; an object store has no folders, only files whose names begin alike."""
    found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
    return {name_of(file.path): file.size_in_bytes for file in found}


def holds_files(folder: str) -> bool:
    """Whether there is a folder with files directly in it."""
    return bool(sizes(folder))


def remove(folder: str, *, subfolders: Sequence[str] = ()) -> None:
    """Removes an output; COMPLETED goes first, so that no reader takes what is left for one."""
    for name in sorted(sizes(folder), key=lambda name: name != COMPLETED_FILE):
        FileSystems.delete([FileSystems.join(folder, name)])
    for name in subfolders:
        remove(FileSystems.join(folder, name))
    if "://" not in folder:
        with suppress(OSError):  # not there, or there are folders in it, which are not ours
            os.rmdir(folder)
