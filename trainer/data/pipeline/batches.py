"""Form batches of images that are limited in number and in bytes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MOST_BYTES = 16 << 20  # of images; enough for a full batch unless they are large

Image = TypeVar("Image")


def of(images: Iterable[Image], count: int, size: Callable[[Image], int]) -> Iterator[list[Image]]:
    """Yield lists of consecutive images.

    Args:
      images: read one by one.
      count: length of a full list; a list ends earlier once it has `MOST_BYTES`.
      size: returns the size of an image in bytes.
    """
    batch: list[Image] = []
    room = MOST_BYTES
    for image in images:
        batch.append(image)
        room -= size(image)
        if len(batch) == count or room <= 0:
            yield batch
            batch, room = [], MOST_BYTES
    if batch:
        yield batch
