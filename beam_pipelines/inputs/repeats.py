"""Find several entries of one image in the light pass, and keep them in little memory."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Repeats:
    """The further entries of images, sorted by the image's first entry; two places of 8 bytes for each."""

    firsts: Sequence[int] = ()
    places: Sequence[int] = ()

    def of(self, first: int) -> Sequence[int]:
        """Return the places of the further entries of an image, given the place of its first."""
        return self.places[bisect_left(self.firsts, first) : bisect_right(self.firsts, first)]


NO_REPEATS = Repeats()


def find(places: NDArray[np.int64], hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of all further entries of images, and for each the index of the image's first entry."""
    _, first, image = np.unique(hashes, return_index=True, return_inverse=True)
    again = np.delete(np.arange(len(places)), first)
    return again, first[image[again]]


def by_image(places: NDArray[np.int64], again: NDArray[np.int64], first: NDArray[np.int64]) -> Repeats:
    """Return the result of `find` in a form that is looked up by place."""
    order = np.argsort(places[first], kind="stable")
    return Repeats(*(array("q", places[chosen][order].tobytes()) for chosen in (first, again)))
