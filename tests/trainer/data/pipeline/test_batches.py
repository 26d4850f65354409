"""Batches are full unless their images are large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer import Reader
from trainer.data.pipeline import batches


@given(st.lists(st.integers(0, batches.MOST_BYTES + 9)), st.integers(1, 5))
def test_a_batch_is_full_or_has_enough_bytes(sizes: list[int], count: int) -> None:
    found = list(batches.of(sizes, count, lambda size: size))
    assert [size for batch in found for size in batch] == sizes
    for batch in found:
        assert 1 <= len(batch) <= count
        assert sum(batch[:-1]) < batches.MOST_BYTES
    for batch in found[:-1]:
        assert len(batch) == count or sum(batch) >= batches.MOST_BYTES


def test_images_are_taken_only_when_their_batch_is_wanted() -> None:
    coming = iter(range(6))
    found = batches.of(coming, 2, lambda _: 0)
    assert next(found) == [0, 1]
    assert list(coming) == [2, 3, 4, 5]


def test_a_model_reads_large_images_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader("released-fast")
    images = [Image.new("RGB", (90, 50), (20 * i, 0, 0)) for i in range(5)]
    together = list(reader.read_all(images))
    monkeypatch.setattr(batches, "MOST_BYTES", 2 * 3 * 90 * 50)
    for again in (list(reader.read_all(images)), reader.read_prepared([reader.prepare(image) for image in images])):
        assert [reading.text for reading in again] == [reading.text for reading in together]
        assert [reading.source for reading in again] == images
