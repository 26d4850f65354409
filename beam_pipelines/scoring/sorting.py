"""Sort any number of images by key, and drop repeated files, in a database on disk."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from beam_pipelines.scoring import image_list
from beam_pipelines.scoring.image_list import Item
from trainer.cli import UserError
from trainer.exit_status import FAILED_STATUS

_CACHE = 8 << 10  # KiB that SQLite keeps in memory, also to sort


@contextmanager
def collection() -> Iterator["Collection"]:
    """Open an empty collection, which takes 400 bytes of temporary disk space for each file while it is sorted.

    Raises:
      UserError: there is not enough.
    """
    with closing(Collection()) as made:
        try:
            yield made
        except sqlite3.OperationalError as error:
            raise UserError(
                f"the list of images cannot be sorted ({error}): free space in /var/tmp, or set TMPDIR to a folder "
                "with more",
                FAILED_STATUS,
            ) from error


class Collection:
    """Files, each once, and items, in a temporary database; beyond a few megabytes, SQLite keeps it on disk."""

    def __init__(self) -> None:
        self.count = 0  # of items
        self._database = sqlite3.connect("", isolation_level=None)  # without a name, it is temporary
        for statement in (
            f"PRAGMA cache_size = -{_CACHE}",
            "PRAGMA journal_mode = OFF",
            "BEGIN",
            "CREATE TABLE files (path, size, updated)",
            "CREATE TABLE items (key, path, kind, start, size, reason, detail, file_size, file_updated)",
        ):
            self._database.execute(statement)

    def add_file(self, path: str, file: tuple[int, float] | None) -> None:
        """Add a file with its size and time, if known."""
        row = (path.encode("utf-8", "surrogateescape"), *(file or (None, None)))
        self._database.execute("INSERT INTO files VALUES (?, ?, ?)", row)

    def files(self) -> Iterator[tuple[str, tuple[int, float] | None]]:
        """Yield the files, sorted by path; of those with the same path, the one that was added first."""
        before = None
        # Sorted only here: an index, kept while files are added, would read and write all over the disk.
        for path, size, updated in self._database.execute("SELECT * FROM files ORDER BY path, rowid"):
            if path != before:
                yield path.decode("utf-8", "surrogateescape"), None if size is None else (size, updated)
            before = path

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            self._database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", item.row())
            self.count += 1

    def items(self) -> Iterator[Item]:
        """Yield the items, sorted by key, path and position."""
        rows = self._database.execute("SELECT * FROM items ORDER BY key, path, start")
        return map(image_list.of_row, rows)

    def close(self) -> None:
        self._database.close()
