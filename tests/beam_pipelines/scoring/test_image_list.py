"""The list of images: what was written is read, and neither listing nor a shard needs memory for all of it."""

import pickle
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.scoring import find_images, image_list
from beam_pipelines.scoring.image_list import ImageList, Item
from beam_pipelines.scoring.sorting import Collection
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.listing import File
from trainer.cli import UserError
from trainer.exit_status import FAILED_STATUS

NAMES = st.binary(max_size=6).map(lambda data: data.decode("utf-8", "surrogateescape"))
NUMBERS = st.integers(0, 2**50)
ITEMS = st.builds(
    Item,
    NAMES,
    NAMES,
    st.sampled_from(["file", "member", "zipped", "record"]),
    NUMBERS,
    NUMBERS,
    st.none() | st.tuples(NAMES, NAMES),
    st.none() | st.tuples(NUMBERS, st.floats(0, 1e10)),
)


def written(path: Path, items: list[Item]) -> ImageList:
    with path.open("wb") as file:
        return image_list.write(file, str(path), items)


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=12), st.integers(-13, 13), st.integers(-13, 13), st.integers(1, 4))
def test_a_range_of_a_list_is_that_of_its_items(
    tmp_path_factory: pytest.TempPathFactory, items: list[Item], begin: int, end: int, batch: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_list, "BATCH", batch)
        found = written(tmp_path_factory.mktemp("list") / "images", items)
        assert list(found) == items
        assert list(found[begin:end]) == items[begin:end]
        assert list(found[begin:][:end]) == items[begin:][:end]
        assert [found[place] for place in range(len(found))] == items


@given(st.lists(ITEMS, max_size=12))
def test_items_are_sorted_and_files_listed_once(items: list[Item]) -> None:
    with closing(Collection()) as collected:
        collected.add(items)
        for item in items:
            collected.add_file(item.path, item.file)
        found, files = list(collected.items()), list(collected.files())
    as_bytes = [
        (item.key.encode("utf-8", "surrogateescape"), item.path.encode("utf-8", "surrogateescape")) for item in found
    ]
    assert as_bytes == sorted(as_bytes)
    assert sorted(map(repr, found)) == sorted(map(repr, items))
    assert len(files) == len({item.path for item in items})
    first: dict[str, object] = {}
    for item in items:
        first.setdefault(item.path, item.file)
    assert dict(files) == first


def test_neither_listing_nor_a_shard_takes_more_memory_for_more_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak(count: int) -> int:
        def below(folder: str, on_error: object) -> Iterator[File]:
            return (File(f"{folder}/photos of a day/{i * 7919 % count:09d}.jpg", 10**6, 1e9) for i in range(count))

        monkeypatch.setattr(listing, "below", below)
        tracemalloc.start()
        try:
            images = find_images.find([str(tmp_path)], str(tmp_path)).items
            assert len(images) == count
            keys = [item.key for item in images[-3:]]
            assert keys == [f"{tmp_path}/photos of a day/{i:09d}.jpg" for i in range(count - 3, count)]
            assert len(pickle.dumps(images[: count // 2])) < 500
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what the first run loads
    # Garbage that waits for its collector makes a few 100 KB of difference; 37,000 paths alone would take 5 MB.
    assert abs(peak(40_000) - peak(3_000)) < 1_000_000


def test_a_disk_without_room_to_sort_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def below(folder: str, on_error: object) -> Iterator[File]:
        return (File(f"{folder}/{i}.jpg", 10**6, 1e9) for i in range(1_000))

    connect = sqlite3.connect

    def small(*args: Any, **options: Any) -> sqlite3.Connection:
        made = connect(*args, **options)
        made.execute("PRAGMA max_page_count = 10")
        return made

    monkeypatch.setattr(listing, "below", below)
    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(UserError, match=r"cannot be sorted \(database or disk is full\): free space in") as raised:
        find_images.find([str(tmp_path)], str(tmp_path))
    assert raised.value.status == FAILED_STATUS
