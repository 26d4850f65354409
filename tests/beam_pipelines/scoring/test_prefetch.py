"""Images are decoded ahead of the model, but only so many that they fit into memory."""

import io
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_pipelines.scoring import prefetch
from beam_pipelines.scoring.image_list import Item
from tests.beam_pipelines import finding
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.data.formats.records import Record
from trainer.data.images.model_input import ModelInput
from trainer.vocab import DIGITS, Vocab

SIDE = 120
BYTES = 3 * SIDE * SIDE


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def items(tmp_path: Path) -> Sequence[Item]:
    """Twelve images, of which one is damaged."""
    for number in range(12):
        (tmp_path / f"{number:02d}.png").write_bytes(encoded(number) if number != 5 else b"\x89PNG")
    return finding.find([str(tmp_path)]).items


def shades(items: Sequence[Item]) -> list[int | None]:
    return [
        int(np.asarray(Image.open(io.BytesIO(one.file)))[0, 0, 0]) if isinstance(one, prefetch.FetchedImage) else None
        for one in prefetch.fetched(items, len(items), ModelInput(SIDE, SIDE))
    ]


@pytest.mark.parametrize("room", [1, BYTES, 3 * BYTES, 100 * BYTES])
def test_all_come_in_order_however_little_room_there_is(
    items: Sequence[Item], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "WAITING_BYTES", room)
    assert shades(items) == [*range(5), None, *range(6, 12)]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_only_so_many_wait(items: Sequence[Item], room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the next one, whose turn it is: without that one, nothing would go on."""
    decoded: list[Image.Image] = []

    def encode(image: Image.Image, _: str) -> bytes:
        decoded.append(image)
        return b""

    monkeypatch.setattr(prefetch, "WAITING_BYTES", room * BYTES)
    monkeypatch.setattr(prefetch.image_io, "encode", encode)
    taken = 0
    for one in prefetch.fetched(items, len(items), ModelInput(SIDE, SIDE)):
        taken += isinstance(one, prefetch.FetchedImage)
        time.sleep(0.05)  # for as many as could be decoded meanwhile
        assert len(decoded) - taken <= room + 1


def test_nothing_waits_for_what_is_not_taken(items: Sequence[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "WAITING_BYTES", 1)
    coming = prefetch.fetched(items, len(items), ModelInput(SIDE, SIDE))
    next(coming)
    del coming  # which closes it


def test_large_records_wait_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "WAITING_BYTES", 1)
    monkeypatch.setattr(prefetch, "LARGE_RECORD", 1)
    (tmp_path / dataset_info.COMPLETED_FILE).touch()
    with open(tmp_path / "a.tfrecord", "wb") as file:
        for number in range(8):
            record = Record(encoded(number), "png", f"{number}.png", str(number), "csv")
            tfrecord.write_framed(file, records.to_example(record, Vocab(DIGITS)))
    assert shades(finding.find([str(tmp_path / "a.tfrecord")]).items) == list(range(8))
