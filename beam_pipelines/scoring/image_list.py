"""Store the list of the images that a run reads in a file: a shard is a range of it; only one batch is in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, Literal, NamedTuple, cast, overload

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

IMAGES_FILE = "_images.arrow"  # in the output; readers of whole folders skip it, see `output_names`
BATCH = 1024  # images that are written and read at once
# Names need not be UTF-8, so texts are bytes.
_SCHEMA = pa.schema(
    [
        ("key", pa.binary()),
        ("path", pa.binary()),
        ("kind", pa.binary()),
        ("start", pa.int64()),
        ("size", pa.int64()),
        ("reason", pa.binary()),
        ("detail", pa.binary()),
        ("file_size", pa.int64()),
        ("file_updated", pa.float64()),
    ]
)
Kind = Literal["file", "member", "zipped", "record", "row"]
Row = tuple[bytes, bytes, bytes, int, int, bytes | None, bytes | None, int | None, float | None]


class Item(NamedTuple):
    """An image, or the reject in its place.

    Attributes:
      key: unique except among rejects: the path, `archive.tar/member`, or the record's key.
      path: of the file that contains it.
      kind: how it is stored there; for `row`, see `carried_rows`.
      start, size: position in the file, in bytes, of a member or record; for a zipped member, that of its header.
      reject: reason and detail, if it is already known that it cannot be read.
      file: size in bytes of the file and when it was last written, in seconds since the epoch; None if unknown.
    """

    key: str
    path: str
    kind: Kind = "file"
    start: int = 0
    size: int = 0
    reject: tuple[str, str] | None = None
    file: tuple[int, float] | None = None

    def row(self) -> Row:
        """Return the item as a row of a table."""
        reason, detail = self.reject or (None, None)
        why, how = (None if one is None else _data(one) for one in (reason, detail))
        names = _data(self.key), _data(self.path), _data(self.kind)
        return (*names, self.start, self.size, why, how, *(self.file or (None, None)))


def of_row(row: Sequence[Any]) -> Item:
    """Return the item of a row that `Item.row` made."""
    key, path, kind, start, size, reason, detail, file_size, updated = row
    reject = None if reason is None else (_text(reason), _text(detail))
    file = None if file_size is None else (file_size, updated)
    return Item(_text(key), _text(path), cast("Kind", _text(kind)), start, size, reject, file)


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class ImageList(Sequence[Item]):
    """A range of the items in a file; each iteration reads the file.

    Attributes:
      path: of the file, local or remote.
      begin, end: the range.
    """

    path: str
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def __iter__(self) -> Iterator[Item]:
        if not len(self):
            return
        with FileSystems.open(self.path, compression_type="uncompressed") as file:
            batches = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
            for number in range(self.begin // BATCH, -(-self.end // BATCH)):
                first = number * BATCH
                rows = batches.get_batch(number)[max(self.begin - first, 0) : self.end - first]
                yield from map(of_row, zip(*(column.to_pylist() for column in rows.columns), strict=True))

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageList": ...
    def __getitem__(self, index: int | slice) -> "Item | ImageList":
        places = range(self.begin, self.end)[index]
        if isinstance(places, int):
            return next(iter(replace(self, begin=places, end=places + 1)))
        if places.step != 1:
            raise ValueError("an ImageList has no steps")
        return replace(self, begin=places.start, end=max(places.start, places.stop))


def open_list(path: str) -> ImageList:
    """Return the whole list in a file.

    Raises:
      ValueError: the file is not such a list (`pyarrow.ArrowInvalid`).
    """
    with FileSystems.open(path, compression_type="uncompressed") as file:
        batches = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
        count = batches.num_record_batches
        return ImageList(path, 0, (count - 1) * BATCH + batches.get_batch(count - 1).num_rows if count else 0)


def write(file: BinaryIO, path: str, items: Iterable[Item]) -> ImageList:
    """Write a list to a file that is open for writing, and return it.

    Args:
      file: the file.
      path: its path.
      items: in order.
    """
    count, rows = 0, (item.row() for item in items)
    with pa.ipc.new_file(file, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        while some := list(islice(rows, BATCH)):
            columns = [pa.array(values, one.type) for values, one in zip(zip(*some, strict=True), _SCHEMA, strict=True)]
            writer.write_batch(pa.record_batch(columns, _SCHEMA))
            count += len(some)
    return ImageList(path, 0, count)
