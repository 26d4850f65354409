"""Pictures read and checked by threads ahead of the model, in order, with bounded memory."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import BinaryIO, NamedTuple

from beam_pipelines import images, sources
from beam_pipelines.found import Item
from beam_pipelines.shards import Reject
from trainer import records

LOCAL_THREADS, REMOTE_THREADS = 4, 32  # an object store takes its time for each file


class Picture(NamedTuple):
    """A picture that the model decodes: its key, its file, and its label where it is known."""

    key: str
    file: bytes
    label: str | None = None


def pictures(items: Sequence[Item], ahead: int) -> Iterator[Picture | tuple[str, Reject]]:
    """Each of the items in order, or the reject with its key; at most `ahead` of them wait in memory."""
    coming, containers = iter(items), Containers()
    waiting: deque[tuple[Item, Future[Picture]]] = deque()
    remote = any("://" in item.path for item in items)
    with ThreadPoolExecutor(REMOTE_THREADS if remote else LOCAL_THREADS) as pool:

        def begin(count: int) -> None:
            waiting.extend((item, pool.submit(_read, item, containers)) for item in islice(coming, count))

        try:
            begin(ahead)
            while waiting:
                item, future = waiting.popleft()
                begin(1)
                try:
                    yield future.result()
                except Reject as reject:
                    yield item.key, reject
        finally:
            for _, future in waiting:
                future.cancel()
    containers.close()


class Containers:
    """Archives and record files, each opened once, a remote one as a local copy; for many threads."""

    def __init__(self) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._lock = Lock()

    def read(self, item: Item) -> bytes:
        """The bytes of a member or record.

        Raises:
          Reject: `missing-picture` where the file has gone, `damaged-archive` where it ends within.
        """
        with self._lock:
            try:
                if item.path not in self._files:
                    self._files[item.path] = sources.local_file(item.path)
                file = self._files[item.path]
                file.seek(item.start)
                data = file.read(item.size)
            except FileNotFoundError as error:
                raise Reject("missing-picture", f"{item.path} cannot be read: {error}") from error
        if len(data) < item.size:
            raise Reject("damaged-archive", f"{item.path} ends within it")
        return data

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _read(item: Item, containers: Containers) -> Picture:
    """Reads one.

    Raises:
      Reject: as `images.read`, `images.decodable` and `Containers.read`; `damaged-record`; what was found earlier.
    """
    if item.reject:
        raise Reject(*item.reject)
    if item.kind == "file":
        return Picture(item.key, images.decodable(images.read(item.path)))
    data = containers.read(item)
    if item.kind == "member":
        return Picture(item.key, images.decodable(data))
    try:
        record = records.from_example(data)
    except records.Damaged as error:
        raise Reject("damaged-record", str(error)) from error
    return Picture(item.key, images.decodable(record.encoded), record.text)
