"""Where a recogniser looked in the numbers of photos, for the report."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer.data.formats import records, tfrecord
from trainer.data.formats.records import Record
from trainer.inference.evaluating import attention
from trainer.inference.exports.exported_model import ExportedModel
from trainer.inference.photos import regions
from trainer.vocab import Vocab

BOX = [40.0, 40.0, 80.0, 40.0, 80.0, 60.0, 40.0, 60.0]
WHOLE = [0.0, 0.0, 120.0, 0.0, 120.0, 100.0, 0.0, 100.0]


@dataclass
class FakeReader:
    """Reads the texts it is given, one call after the other."""

    texts: list[str]
    image_size: tuple[int, int] = (8, 16)
    seen: list[np.ndarray] = field(default_factory=list)

    def attention(self, file: bytes) -> tuple[str, np.ndarray] | None:
        self.seen.append(tf.io.decode_png(file).numpy())
        if not self.texts:
            return None
        look = np.zeros((5, 2, 3), np.float32)
        look[:, 0, 1], look[:, 1, 2] = 0.5, 0.25
        return self.texts.pop(0), look


@pytest.fixture
def shard(tmp_path: Path) -> str:
    """One photo, red on the left and blue on the right."""
    image = Image.new("RGB", (120, 100), "red")
    image.paste("blue", (60, 0, 120, 100))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with open(tmp_path / "shard", "wb") as file:
        for key in ("other", "photo"):
            record = Record(buffer.getvalue(), "png", key, "12", "csv")
            tfrecord.write_framed(file, records.to_example(record, Vocab("0123456789")))
    return str(tmp_path / "shard")


def answered(shard: str, reader: FakeReader, box: list[float], *, labels: tuple[str, ...] = ("12",)) -> dict[str, Any]:
    number = {"text": "12", "confidence": 0.9, "box": box}
    row = {"key": "photo", "labels": [*labels], "right": True, "numbers": [number], "size": [120, 100]}
    attention.add_to_photos([row], [shard], cast(ExportedModel, reader))
    return number


def test_the_cut_that_reads_the_same_text_is_stored_with_its_weights(shard: str) -> None:
    reader = FakeReader(["9", "12"])
    number = answered(shard, reader, BOX)
    assert number["attention"] == [[[0, 255, 0], [0, 0, 128]]] * 2  # relative to the highest, of its two characters
    wide = regions.widened(tf.constant([BOX]), regions.MARGINS[1])
    assert number["cut"] == pytest.approx(wide.numpy()[0], abs=0.05)
    for cut in reader.seen:  # red on the left and blue on the right, at any margin
        assert cut.shape == (8, 16, 3)
        assert cut[4, 2].tolist() == [255, 0, 0]
        assert cut[4, 13].tolist() == [0, 0, 255]


def test_of_the_whole_photo_all_is_seen(shard: str) -> None:
    reader = FakeReader(["12"])
    assert answered(shard, reader, WHOLE)["cut"] == WHOLE
    assert len(reader.seen) == 1


def test_no_weights_of_another_text_and_none_without_attention(shard: str) -> None:
    assert "attention" not in answered(shard, FakeReader(["9", "8"]), BOX)
    assert "attention" not in answered(shard, FakeReader([]), BOX)


def test_photos_without_an_answer_are_not_read(shard: str) -> None:
    reader = FakeReader(["12"])
    row = {"key": "photo", "labels": ["12"], "right": False, "numbers": [], "size": [120, 100]}
    attention.add_to_photos([row], [shard], cast(ExportedModel, reader))
    attention.add_to_photos([], [], cast(ExportedModel, reader))
    assert reader.seen == []
