"""Buckets are listed in ranges at the same time: each object once, with no more requests where that cannot help."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sharding import list_objects, listing
from benchmarks import listed_store
from benchmarks.listed_store import ListedStore, Page
from trainer import troubles

EACH_STORE = pytest.mark.parametrize("scheme", ["gs", "s3"])


@pytest.fixture(scope="module")
def store() -> Iterator[ListedStore]:
    """A bucket that this process sees, with three names in an answer."""
    from apache_beam.internal.gcp import auth

    served = ListedStore([], page=3)
    with listed_store.served(served) as url, pytest.MonkeyPatch.context() as patched:
        patched.setattr(auth._Credentials, "_credentials_init", True)
        for name in ("STORAGE_EMULATOR_HOST", "AWS_ENDPOINT_URL"):
            patched.setenv(name, url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "testing")
        yield served


def below(scheme: str) -> list[str]:
    """Return the paths below gs://mine/p or s3://mine/p, sorted."""
    if scheme == "s3":
        pytest.importorskip("boto3", reason="boto3 is not installed")

    def fail(error: OSError) -> None:
        pytest.fail(str(error))

    found = list(listing.below(f"{scheme}://mine/p", on_error=fail))
    assert {(file.size, file.updated) for file in found} <= {(listed_store.SIZE, 1767225600.0)}
    return sorted(file.path.removeprefix(f"{scheme}://mine/") for file in found)


def named(store: ListedStore, names: list[str]) -> None:
    """Let the store have objects of these names."""
    store.names, store.refused, store.requests = names, None, []


@EACH_STORE
@settings(deadline=None, max_examples=60)
@given(names=st.sets(st.text("ab/é&", min_size=1, max_size=6), max_size=20), ranges=st.integers(1, 6))
def test_each_object_is_listed_once(scheme: str, store: ListedStore, names: set[str], ranges: int) -> None:
    """However folders are nested, whatever their names."""
    others = ["o/1", "p", "p0", "q/1"]
    named(store, sorted([*others, *(f"p/{name}" for name in names)]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(list_objects, "RANGES", ranges)
        patched.setattr(list_objects, "THREADS", 2)
        assert below(scheme) == sorted(f"p/{name}" for name in names if not name.endswith("/"))


@EACH_STORE
@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (3, 1), (4, 2), (5, 2), (7, 3), (19, 7)])
def test_a_flat_folder_takes_a_request_for_each_page(
    scheme: str, store: ListedStore, count: int, requests: int
) -> None:
    named(store, [f"p/{i:02d}.png" for i in range(count)])
    assert below(scheme) == store.names
    assert len(store.requests) == requests


@EACH_STORE
def test_few_images_in_folders_take_one_request(scheme: str, store: ListedStore) -> None:
    named(store, ["p/1/1.png", "p/2/1.png", "p/3/1.png"])
    assert below(scheme) == store.names
    assert len(store.requests) == 1


@EACH_STORE
@pytest.mark.parametrize("top", ["p", "p/only/one"])
def test_folders_are_listed_at_the_same_time(
    scheme: str, top: str, store: ListedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all are below one folder."""
    asked, enough, waited, listed = itertools.count(1), threading.Event(), list[bool](), store.listed

    def wait(prefix: str, delimiter: str, begin: int, end: int, most: int) -> Page:
        """Let the requests for ranges wait until there are three."""
        if begin and not delimiter:
            if next(asked) == 3:
                enough.set()
            waited.append(enough.wait(20))
        return listed(prefix, delimiter, begin, end, most)

    monkeypatch.setattr(store, "listed", wait)
    monkeypatch.setattr(list_objects, "THREADS", 3)
    named(store, [f"{top}/{folder}/{i}.png" for folder in range(5) for i in range(3)])
    assert below(scheme) == store.names
    assert all(waited)


@EACH_STORE
def test_a_range_that_may_not_be_listed_is_an_error(scheme: str, store: ListedStore) -> None:
    named(store, [f"p/{folder}/{i}.png" for folder in range(5) for i in range(3)])
    store.refused = "p/2/"
    with pytest.raises(BeamIOError) as raised:
        below(scheme)
    said = troubles.describe(raised.value)
    assert said
    assert "403" in said[0] or "Forbidden" in said[0]


def test_a_bucket_that_does_not_exist_is_empty_on_s3(s3_client: Any) -> None:
    """As in Beam; that `--input` names such a bucket is found out before."""
    assert list(list_objects.below("s3://nobody/p/")) == []
