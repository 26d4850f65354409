"""Sort any number of images by key, and drop repeated files, in a database on disk."""

import sqlite3
from collections.abc import Iterable, Iterator

from beam_pipelines.scoring import image_list
from beam_pipelines.scoring.image_list import Item

_CACHE = 8 << 10  # KiB that SQLite keeps in memory, also to sort


class Collection:
    """Files, each once, and items, in a temporary database; beyond a few megabytes, SQLite keeps it on disk."""

    def __init__(self) -> None:
        self.count = 0  # of items
        self._database = sqlite3.connect("", isolation_level=None)  # without a name, it is temporary
        for statement in (
            f"PRAGMA cache_size = -{_CACHE}",
            "PRAGMA journal_mode = OFF",
            "BEGIN",
            "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, updated REAL) WITHOUT ROWID",
            "CREATE TABLE items (key, path, kind, start, size, reason, detail, file_size, file_updated)",
        ):
            self._database.execute(statement)

    def add_file(self, path: str, file: tuple[int, float] | None) -> None:
        """Add a file with its size and time, if known, unless it is there already."""
        row = (path.encode("utf-8", "surrogateescape"), *(file or (None, None)))
        self._database.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", row)

    def files(self) -> Iterator[tuple[str, tuple[int, float] | None]]:
        """Yield the files, sorted by path."""
        for path, size, updated in self._database.execute("SELECT * FROM files ORDER BY path"):
            yield path.decode("utf-8", "surrogateescape"), None if size is None else (size, updated)

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
