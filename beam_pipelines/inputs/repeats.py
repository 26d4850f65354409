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


def find(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of all further entries of images, and for each the index of the image's first entry."""
    # np.unique can return this, too, but takes three times as much memory.
    order = np.argsort(hashes, kind="stable")
    by_hash = hashes[order]
    is_further = np.zeros(len(hashes), bool)
    np.equal(by_hash[1:], by_hash[:-1], out=is_further[1:])
    del by_hash
    if not is_further.any():
        return np.array([], np.int64), np.array([], np.int64)
    further, begins = np.flatnonzero(is_further), np.flatnonzero(~is_further)
    again, first = order[further], order[begins[np.searchsorted(begins, further, side="right") - 1]]
    ascending = np.argsort(again)
    return again[ascending], first[ascending]


def by_image(places: NDArray[np.int64], again: NDArray[np.int64], first: NDArray[np.int64]) -> Repeats:
    """Return the result of `find` in a form that is looked up by place."""
    order = np.argsort(places[first], kind="stable")
    return Repeats(*(array("q", places[chosen][order].tobytes()) for chosen in (first, again)))
