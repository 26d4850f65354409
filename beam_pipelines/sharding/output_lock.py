"""Lock an output: for one run, for a partition beside others of its request, or while partitions wait for a list."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing, outputs
from beam_pipelines.sharding.partition import Partition
from beam_pipelines.sharding.whole_file import whole_file
from trainer.cli import Locked
from trainer.files.lock import Lock, describe, owner

_READS = 3  # attempts to read a file


def for_list(output: str) -> Lock:
    """Take the lock of the partition that makes a list for all; it excludes no other run.

    Raises:
      Locked: another process holds it.
    """
    return Lock(FileSystems.join(output, outputs.LIST_LOCK_FILE), SmallFiles())


@contextmanager
def locked(output: str, partition: Partition | None, request: dict[str, Any]) -> Iterator[Lock]:
    """Hold the lock of an output or of a partition.

    Raises:
      Locked: another process holds it, or one whose run may not be beside this one.
    """
    name, friends = outputs.LOCK_FILE, None
    if partition:  # the name tells which others may run: partitions of the same request and count
        asked = google_crc32c.value(json.dumps(request, sort_keys=True).encode())
        name += f"-{asked:08x}-{partition.index:05d}-of-{partition.count:05d}"
        friends = re.compile(rf"{re.escape(outputs.LOCK_FILE)}-{asked:08x}-\d+-of-{partition.count:05d}")
    with Lock(FileSystems.join(output, name), SmallFiles()) as lock:
        for other in outputs.sizes(output):
            if outputs.is_lock(other) and other != name and not (friends and friends.fullmatch(other)):
                path = FileSystems.join(output, other)
                claim = owner(path, SmallFiles())  # removes the file of a dead one
                if claim is not None and other != outputs.LIST_LOCK_FILE:
                    raise Locked(describe(path, claim))
        yield lock


class SmallFiles:
    """Files that other processes write and remove at any moment, through Beam."""

    def read(self, path: str) -> str | None:
        """Return the content of a file; None if it is missing."""
        for attempt in range(_READS):
            try:
                with FileSystems.open(path) as file:
                    return file.read().decode()
            except Exception:  # each file system has its own exception for a missing file
                if not listing.exists(path):
                    return None
                if attempt == _READS - 1:  # before, it may have been written after it was found missing
                    raise
        return None

    def write(self, path: str, text: str) -> None:
        with whole_file(path) as file:
            file.write(text.encode())

    def remove(self, path: str) -> None:
        listing.delete(path)
