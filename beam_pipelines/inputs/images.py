"""Open and decode image files, local or remote, rejecting broken ones by name; and compute boxes in images."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from beam_pipelines.sharding import copy_object, listing
from beam_pipelines.sharding.shards import Reject
from trainer.data.images import image_io, image_kinds
from trainer.data.images.image_io import DecodedImage, ShrunkImage
from trainer.data.images.model_input import ModelInput
from trainer.data.labels.box_corners import Box
from trainer.files.local_file import NotAFile, open_regular

SMALL = 4 << 20  # bytes; remote files up to this size are held in memory, not on disk


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open an image file, a remote one as a local copy.

    Raises:
      Reject: `missing-picture` if it does not exist, `not-a-file` for a pipe, a device or a folder, `unreadable`
        if a local one cannot be read. An object store's error that outlasts its client's own retries fails
        the shard, which the engine retries.
    """
    try:
        file = _remote_copy(path) if "://" in path else open_regular(path)
    except NotAFile as error:
        raise Reject("not-a-file", f"{path} cannot be read: {error}") from error
    except Exception as error:  # each object store has its own exceptions
        exists = listing.exists(path)
        if exists and "://" in path:
            raise
        reason = "unreadable" if exists else "missing-picture"
        raise Reject(reason, f"{path} cannot be read: {error}") from error
    with file:
        yield file


def _remote_copy(path: str) -> BinaryIO:
    copy = tempfile.SpooledTemporaryFile(SMALL)  # noqa: SIM115 - the caller closes it
    copy_object.copy(path, cast(BinaryIO, copy))
    copy.seek(0)
    return cast(BinaryIO, copy)


def load(data: bytes) -> DecodedImage:
    """Call `image_io.load`. Raise `Reject` if it fails."""
    with _rejecting():
        return image_io.load(data)


def load_file(file: BinaryIO) -> DecodedImage:
    """Call `image_io.load_file`. Raise `Reject` if it fails."""
    with _rejecting():
        return image_io.load_file(file)


def for_model(file: BinaryIO, wanted: ModelInput, reserve: Callable[[int], None] = lambda _: None) -> ShrunkImage:
    """Call `image_io.for_model`. Raise `Reject` if it fails."""
    with _rejecting():
        return image_io.for_model(file, wanted, reserve)


@contextmanager
def _rejecting() -> Iterator[None]:
    try:
        yield
    except image_kinds.UnreadableImage as error:
        raise Reject(error.reason, error.detail) from error


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all boxes."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def relative(box: Box, crop: Box) -> Box:
    """Return a box relative to a crop, 0-1, clipped to it."""
    width, height = crop[2] - crop[0], crop[3] - crop[1]

    def clip(value: float) -> float:
        return min(1.0, max(0.0, value))

    return (
        clip((box[0] - crop[0]) / width),
        clip((box[1] - crop[1]) / height),
        clip((box[2] - crop[0]) / width),
        clip((box[3] - crop[1]) / height),
    )
