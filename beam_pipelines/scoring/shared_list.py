"""List images once for all partitions of an output: the first one makes the list, and the others use it.

A note next to the list says what was asked for, until the output is complete. Partitions that start at the same time
wait for the one that lists, which has a lock; if it is killed, the next one takes over. As long as the output is not
complete, a partition that is started again uses the same list, too, so that all partitions divide the same images.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.inputs import identity
from beam_pipelines.scoring import carried_rows, endings
from beam_pipelines.scoring.image_list import IMAGES_FILE, Item
from beam_pipelines.scoring.predictions import KIND
from beam_pipelines.sharding import listing, output_lock, outputs
from beam_pipelines.sharding.counted_file import CountedFile
from beam_pipelines.sharding.listing import File
from beam_pipelines.sharding.whole_file import whole_file
from trainer.cli import Locked

NOTE_FILE = f"{IMAGES_FILE}{outputs.NOTE}00000-of-00000"  # removed like the notes of partitions
_CHUNK = 1 << 20  # bytes
POLL_SECONDS = 1.0  # between looks for the list that another partition makes


@dataclass(frozen=True)
class Images:
    """The images of a run, except their list, which is in a local file.

    Attributes:
      count: how many there are.
      checksum: of their keys.
      files: see `identity.of_files`.
      endings: other files, counted by extension.
    """

    count: int
    checksum: str
    files: str
    endings: dict[str, int]


def describe(items: Sequence[Item], others: Mapping[str, int]) -> Images:
    """Return what identifies a list, which is read twice for it."""
    checksum = google_crc32c.Checksum()
    for item in items:
        checksum.update(f"{item.key}\n".encode())
    files = identity.of_files(_files(items))
    return Images(len(items), checksum.hexdigest().decode(), files, endings.most_frequent(others))


def _files(items: Iterable[Item]) -> Iterator[File]:
    """Yield each file that contains an item once, and the file of each image whose row is carried over."""
    shared: dict[str, tuple[int, float] | None] = {}
    for item in items:
        if item.kind == carried_rows.ROW:
            shared[item.path] = None
            if item.file:
                yield File(item.key, *item.file)
        elif item.file and item.kind == "file" and not item.reject:
            yield File(item.path, *item.file)
        else:
            shared[item.path] = item.file
    yield from (File(path, *file) for path, file in shared.items() if file)
    yield from identity.looked_up(path for path, file in shared.items() if not file)


@contextmanager
def opened(
    output: str, asked: Mapping[str, Any], make: Callable[[], Images], local: str, *, share: bool
) -> Iterator[tuple[Images, Callable[[], None]]]:
    """Yield the images of a run, and a function that writes their list to the output, for whoever holds its lock.

    Args:
      output: the folder.
      asked: everything that determines the list, except the files themselves.
      make: lists the images, in a local file.
      local: the path of that file.
      share: whether there are other partitions to share it with.
    Raises:
      UserError: as `make`, or other files than ours are in the output, or it is not writable.
    """
    with _kept_if_used(output), ExitStack() as turn:
        shared = _of_others(output, asked, local, turn) if share else None
        images = shared or make()

        def publish() -> None:
            if not (shared and _is_there(output, asked, images)):
                _write(output, asked, images, local, with_note=share)
            turn.close()

        yield images, publish


def _write(output: str, asked: Mapping[str, Any], images: Images, local: str, *, with_note: bool) -> None:
    """Write a list, the same bytes for the same images, and then its note."""
    with whole_file(FileSystems.join(output, IMAGES_FILE)) as file, open(local, "rb") as listed:
        counted = CountedFile(file)
        shutil.copyfileobj(listed, counted, _CHUNK)
    if with_note:
        note = {"asked": asked, "images": asdict(images), "crc32c": counted.crc32c}
        with whole_file(FileSystems.join(output, NOTE_FILE)) as file:
            file.write(json.dumps(note).encode())


def _is_there(output: str, asked: Mapping[str, Any], images: Images) -> bool:
    """Return whether the list that was copied is still in the output."""
    note = _note(output)
    is_ours = note.get("asked") == asked and note.get("images") == asdict(images)
    return is_ours and listing.exists(FileSystems.join(output, IMAGES_FILE))


def _of_others(output: str, asked: Mapping[str, Any], local: str, turn: ExitStack) -> Images | None:
    """Return the images that another partition has listed, once it has; None if this one shall list them, in its turn.

    If the output is complete, inputs that have changed since must be found, so nothing is shared.
    """
    is_mine = has_said = False
    if not outputs.is_complete(output, KIND):
        outputs.check_strangers(output, KIND)
        outputs.check_place(output)
    while not outputs.is_complete(output, KIND):
        if images := _copied(output, asked, local):
            turn.close()
            place = FileSystems.join(output, IMAGES_FILE)
            print(f"using the list of {images.count} images in {place}; remove it to list them again")
            return images
        if is_mine:
            return None
        try:
            turn.enter_context(output_lock.for_list(output))
            is_mine = True  # look once more, since the list may have been written just before
        except Locked:
            if not has_said:
                print(f"waiting for the list of images, which another partition of {output} makes")
            has_said = True
            time.sleep(POLL_SECONDS)
    return None


def _copied(output: str, asked: Mapping[str, Any], local: str) -> Images | None:
    """Copy the list of an output to a local file; None if it is missing or damaged, or something else was asked for."""
    note, stored = _note(output), FileSystems.join(output, IMAGES_FILE)
    if note.get("asked") != asked or not listing.exists(stored):
        return None
    with listing.opened(stored) as file, open(local, "wb") as copy:
        counted = CountedFile(copy)
        shutil.copyfileobj(file, counted, _CHUNK)
    return Images(**note["images"]) if counted.crc32c == note["crc32c"] else None


def _note(output: str) -> dict[str, Any]:
    """Return the note in an output; empty if there is none."""
    text = output_lock.SmallFiles().read(FileSystems.join(output, NOTE_FILE)) or "{}"
    with suppress(ValueError):  # somebody else's
        return json.loads(text)
    return {}


@contextmanager
def _kept_if_used(output: str) -> Iterator[None]:
    """Remove a folder in which only a lock has been, if it was not there before."""
    is_new = not listing.is_remote(output) and not os.path.isdir(output)
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # not there, or not empty
                os.rmdir(output)
