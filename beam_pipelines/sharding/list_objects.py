"""List objects of Google's and Amazon's stores as they arrive, several ranges of their names at the same time.

A store lists names in their order, a thousand per request, and a request takes a tenth of a second. Folders only tell
where to divide the names into ranges, so each object is listed once, however the folders are nested.
"""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import NamedTuple, Protocol

from apache_beam.io.filesystem import BeamIOError

from beam_pipelines.sharding import store_clients

GOOGLE, AMAZON = "gs://", "s3://"
THREADS = 8  # requests at the same time; Google's client keeps ten connections open
RANGES = 4 * THREADS  # at most, so that a few large folders do not leave threads without work
LEVELS = 4  # of folders that are looked into, at most
Listed = tuple[str, int, float]  # the name of an object, its size in bytes, and when it was written, as in `File`


class Page(NamedTuple):
    """An answer of a store: objects, folders directly below the prefix if they were asked for, and if there is more."""

    objects: list[Listed]
    folders: list[str]
    more: bool


class _Store(Protocol):
    def pages(self, prefix: str, after: str = "", before: str = "", delimiter: str = "") -> Iterator[Page]:
        """List the objects whose names begin with a prefix and are between two others.

        With a delimiter, folders are listed instead of the objects in them.
        """


def is_known(path: str) -> bool:
    """Return whether `below` can list a path."""
    return path.startswith((GOOGLE, AMAZON))


def below(prefix: str) -> Iterator[Listed]:
    """Yield path, size and time of each object whose path begins with a prefix that ends in a slash, in any order.

    Objects that are named like a folder, with a slash at the end, may be missing.

    Raises:
      BeamIOError: the store cannot list it.
    """
    scheme = prefix[: len(GOOGLE)]
    bucket, _, name = prefix[len(GOOGLE) :].partition("/")
    try:
        store = _Google(bucket) if scheme == GOOGLE else _Amazon(bucket)
        for page in _below(store, name):
            yield from ((f"{scheme}{bucket}/{name}", size, updated) for name, size, updated in page.objects)
    except Exception as error:  # as Beam does
        raise BeamIOError("List operation failed", {prefix: error}) from error


def _below(store: _Store, prefix: str) -> Iterator[Page]:
    """Yield pages with all objects; small and flat folders take as many requests as without ranges, or one more."""
    first = next(store.pages(prefix), None)
    if first is None:
        return
    yield first
    if not first.more:
        return
    after = first.objects[-1][0] if first.objects else ""
    following, bounds = _look(store, prefix, after)
    if following:
        yield following
        if not following.more:
            return
        after = following.objects[-1][0] if following.objects else after
    step = -(-len(bounds) // RANGES) or 1
    ranges = pairwise([after, *bounds[::step], ""])
    yield from _together([store.pages(prefix, begin, end) for begin, end in ranges])


def _look(store: _Store, prefix: str, after: str) -> tuple[Page | None, list[str]]:
    """Return where to divide the names after one of them; if there are no folders, also the next page of objects."""
    bounds: set[str] = set()
    level = [prefix]
    for _ in range(LEVELS):
        pages = [next(store.pages(one, after, delimiter="/"), Page([], [], False)) for one in level]
        if not bounds and not pages[0].folders:
            return pages[0], []
        level = [folder for page in pages for folder in page.folders]
        bounds.update(level)
        if not level or len(bounds) >= THREADS:
            break
    return None, sorted(bound for bound in bounds if bound > after)


def _together(ranges: list[Iterator[Page]]) -> Iterator[Page]:
    """Yield the pages of all ranges as they arrive; one of each of a few ranges is waiting at most."""
    waiting = iter(ranges)
    running: dict[Future[Page | None], Iterator[Page]] = {}
    with ThreadPoolExecutor(THREADS) as pool:

        def ask(pages: Iterator[Page] | None) -> None:
            if pages is not None:
                running[pool.submit(next, pages, None)] = pages

        for _ in range(THREADS):
            ask(next(waiting, None))
        while running:
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                pages, page = running.pop(done), done.result()
                ask(pages if page is not None and page.more else next(waiting, None))
                if page is not None:
                    yield page


def _between(objects: Iterator[Listed], after: str, before: str) -> list[Listed]:
    """Return the objects whose names are between two others; stores include one of these, or know only one bound."""
    return [one for one in objects if one[0] > after and (not before or one[0] < before)]


class _Google:
    def __init__(self, bucket: str) -> None:
        self._bucket, self._client = bucket, store_clients.google()

    def pages(self, prefix: str, after: str = "", before: str = "", delimiter: str = "") -> Iterator[Page]:
        found = self._client.list_blobs(
            self._bucket,
            prefix=prefix,
            start_offset=after or None,
            end_offset=before or None,
            delimiter=delimiter or None,
            fields="items(name,size,updated),prefixes,nextPageToken",
        )
        for page in found.pages:
            objects = ((blob.name, blob.size, blob.updated.timestamp()) for blob in page)
            yield Page(_between(objects, after, before), sorted(found.prefixes), bool(found.next_page_token))


class _Amazon:
    def __init__(self, bucket: str) -> None:
        self._bucket, self._client = bucket, store_clients.amazon()

    def pages(self, prefix: str, after: str = "", before: str = "", delimiter: str = "") -> Iterator[Page]:
        asked = {"Bucket": self._bucket, "Prefix": prefix, "StartAfter": after, "Delimiter": delimiter}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            **{name: one for name, one in asked.items() if one}
        )
        try:
            for page in pages:
                listed = page.get("Contents", [])
                objects = ((one["Key"], one["Size"], one["LastModified"].timestamp()) for one in listed)
                folders = [one["Prefix"] for one in page.get("CommonPrefixes", [])]
                is_over = bool(before and listed and listed[-1]["Key"] >= before)
                yield Page(_between(objects, after, before), folders, page.get("IsTruncated", False) and not is_over)
        except self._client.exceptions.NoSuchBucket:
            return
