"""Batches of images that are bounded in bytes, too."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MOST_BYTES = 32 << 20  # of images; enough for a full batch unless they are large

Image = TypeVar("Image")


def of(images: Iterable[Image], count: int, size: Callable[[Image], int]) -> Iterator[list[Image]]:
    """Yield lists of consecutive images.

    Args:
      images: taken one by one.
      count: of a full list; one ends earlier once it has `MOST_BYTES`.
      size: returns the bytes of an image.
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
