"""Decode images in threads ahead of the model, in order and with bounded memory."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import Condition, Lock
from typing import Any, BinaryIO, NamedTuple

from beam_pipelines.inputs import archives, images, labelled
from beam_pipelines.scoring.image_list import Item
from beam_pipelines.sharding.shards import Reject
from trainer.data.formats import records
from trainer.data.formats.tfrecord import Damaged
from trainer.data.images import image_io
from trainer.data.images.image_io import ShrunkImage
from trainer.data.images.model_input import ModelInput
from trainer.files import file_descriptor

LOCAL_THREADS, REMOTE_THREADS = 4, 32  # object stores have a high latency per file
WAITING_BYTES = 32 << 20
LARGE_RECORD = 4 << 20  # bytes; larger records count as waiting while they are read, since they are wholly in memory


class FetchedImage(NamedTuple):
    """A decoded image, ready for the model.

    Attributes:
      key: unique.
      file: its pixels as a BMP file.
      factors: how many times wider and higher the original is.
      label: the number that it shows, if known.
      found_as: a `file`, whose path is the key, a `member` of an archive, or a `record`.
    """

    key: str
    file: bytes
    factors: tuple[float, float]
    label: str | None = None
    found_as: str = "file"


def fetched(items: Sequence[Item], ahead: int, wanted: ModelInput) -> Iterator[FetchedImage | tuple[str, Reject]]:
    """Yield the items in order, each as an image or as its key and reject.

    Args:
      items: what to read.
      ahead: maximum number of images waiting in memory; fewer if images are large, see `Backlog`.
      wanted: the model's input.
    """
    coming, containers, backlog = enumerate(items), Containers(), Backlog(WAITING_BYTES)
    waiting: deque[tuple[Item, Future[FetchedImage]]] = deque()
    remote = any("://" in item.path for item in items)
    with ThreadPoolExecutor(REMOTE_THREADS if remote else LOCAL_THREADS) as pool:

        def begin(count: int) -> None:
            for place, item in islice(coming, count):
                reserve = partial(backlog.reserve, place)
                waiting.append((item, pool.submit(_read, item, containers, wanted, reserve)))

        try:
            begin(ahead)
            while waiting:
                item, future = waiting.popleft()
                begin(1)
                outcome: FetchedImage | tuple[str, Reject]
                try:
                    outcome = future.result()
                except Reject as reject:
                    outcome = item.key, reject
                backlog.take()
                yield outcome
        finally:
            backlog.close()
            for _, future in waiting:
                future.cancel()
    containers.close()


class Backlog:
    """Limits how many bytes of decoded images wait to be taken in order.

    Args:
      most: maximum number of bytes. The image that is due next may always be decoded, since all others wait for it.
    """

    def __init__(self, most: float) -> None:
        self._most, self._next = most, 0
        self._held: dict[int, int] = {}
        self._changed = Condition()

    def reserve(self, place: int, size: int) -> None:
        """Wait until there is room for an image of `size` bytes, which is the `place`-th to be taken."""
        with self._changed:
            self._changed.wait_for(lambda: place == self._next or sum(self._held.values()) + size <= self._most)
            self._held[place] = size

    def take(self) -> None:
        """Free the room of the next image."""
        with self._changed:
            self._held.pop(self._next, None)
            self._next += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Release all waiting threads, since no more images will be taken."""
        with self._changed:
            self._most = float("inf")
            self._changed.notify_all()


class Containers:
    """Archives and record files; each is opened once, remote ones as local copies; thread-safe."""

    def __init__(self) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._zips: dict[str, archives.Zip] = {}
        self._lock = Lock()

    def part(self, item: Item) -> BinaryIO:
        """Open the bytes of a member or record.

        Raises:
          Reject: `missing-picture` if the file is gone, `damaged-archive` if it ends within the member.
        """
        with self._lock:
            try:
                if item.path not in self._files:
                    self._files[item.path] = labelled.local_file(item.path)
            except FileNotFoundError as error:
                raise Reject("missing-picture", f"{item.path} cannot be read: {error}") from error
            file = self._files[item.path]
            if item.kind == "zipped":
                if item.path not in self._zips:
                    self._zips[item.path] = archives.Zip(file)
                return io.BytesIO(self._zips[item.path].read(item.start))
        if os.fstat(file.fileno()).st_size < item.start + item.size:  # a header may claim any size
            raise Reject("damaged-archive", f"{item.path} ends within this member")
        return io.BufferedReader(_Part(file.fileno(), item.start, item.size))

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _Part(io.RawIOBase):
    """A range of bytes of an open file, as a file; thread-safe, since it does not use the open file's position."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._position = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = min(len(memoryview(buffer)), max(0, self._size - self._position))
        data = file_descriptor.read_at(self._descriptor, count, self._start + self._position)
        memoryview(buffer)[: len(data)] = data
        self._position += len(data)
        return len(data)


def _read(item: Item, containers: Containers, wanted: ModelInput, reserve: Callable[[int], None]) -> FetchedImage:
    """Read and decode an item.

    Raises:
      Reject: as `images.opened`, `images.for_model` and `Containers.part`; `damaged-record`; or `item.reject`.
    """
    if item.reject:
        raise Reject(*item.reject)
    if item.kind == "record":
        if item.size > LARGE_RECORD:
            reserve(item.size)
        with containers.part(item) as file:
            return _from_record(item, file.read(), wanted, reserve)
    with images.opened(item.path) if item.kind == "file" else containers.part(item) as file:
        found_as = "file" if item.kind == "file" else "member"
        return _fetched(item.key, images.for_model(file, wanted, reserve), None, found_as)


def _from_record(item: Item, data: bytes, wanted: ModelInput, reserve: Callable[[int], None]) -> FetchedImage:
    try:
        record = records.from_example(data)
    except Damaged as error:
        raise Reject("damaged-record", str(error)) from error
    shrunk = images.for_model(io.BytesIO(record.encoded), wanted, reserve)
    return _fetched(item.key, shrunk, record.text, "record")


def _fetched(key: str, shrunk: ShrunkImage, label: str | None, found_as: str) -> FetchedImage:
    return FetchedImage(key, image_io.encode(shrunk.image, "bmp"), shrunk.factors, label, found_as)
