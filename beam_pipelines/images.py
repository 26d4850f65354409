"""Picture files where they lie, broken ones rejected by name; boxes in them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.shards import Reject
from trainer import pictures
from trainer.pictures import Picture as Picture
from trainer.pictures import encode as encode
from trainer.records import Box


def read(path: str) -> bytes:
    """The bytes of a picture file, local or in an object store.

    Raises:
      Reject: `missing-picture` where there is none, `unreadable` where a local one cannot be read. What an object
        store still fails with after its client's own retries fails the shard, which the engine tries again.
    """
    try:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            return file.read()
    except Exception as error:  # each object store has exceptions of its own
        there = FileSystems.exists(path)
        if there and "://" in path:
            raise
        reason = "unreadable" if there else "missing-picture"
        raise Reject(reason, f"{path} cannot be read: {error}") from error


def load(data: bytes) -> Picture:
    """`pictures.load`. Raises `Reject` where it cannot."""
    with _rejecting():
        return pictures.load(data)


def decodable(data: bytes) -> bytes:
    """`pictures.decodable`. Raises `Reject` where it cannot."""
    with _rejecting():
        return pictures.decodable(data)


def reencoded(data: bytes) -> bytes:
    """`pictures.reencoded`. Raises `Reject` where it cannot."""
    with _rejecting():
        return pictures.reencoded(data)


@contextmanager
def _rejecting() -> Iterator[None]:
    try:
        yield
    except pictures.Unreadable as error:
        raise Reject(error.reason, error.detail) from error


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of them."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def relative(box: Box, crop: Box) -> Box:
    """A box in the coordinates of a crop, 0-1, clipped to it."""
    width, height = crop[2] - crop[0], crop[3] - crop[1]

    def clip(value: float) -> float:
        return min(1.0, max(0.0, value))

    return (
        clip((box[0] - crop[0]) / width),
        clip((box[1] - crop[1]) / height),
        clip((box[2] - crop[0]) / width),
        clip((box[3] - crop[1]) / height),
    )
