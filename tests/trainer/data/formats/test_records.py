import dataclasses
import hashlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.data.formats.records import Number, Record
from trainer.data.formats.tfrecord import Damaged
from trainer.vocab import Vocab

boxes = st.tuples(*[st.floats(0, 1, width=32)] * 4)
corners = st.tuples(*[st.floats(-2, 3, width=32)] * 8)
numbers = st.builds(Number, text=st.text(alphabet="0123456789", min_size=1, max_size=5), corners=corners)
made_records = st.builds(
    Record,
    encoded=st.binary(min_size=1, max_size=40),
    format=st.sampled_from(["png", "jpeg"]),
    key=st.text(min_size=1, max_size=20),
    text=st.text(alphabet="0123456789", max_size=5),  # empty: an image without a number
    source=st.sampled_from(["svhn", "csv"]),
    box=st.one_of(st.none(), boxes),
    char_boxes=st.lists(boxes, max_size=3),
    numbers=st.lists(numbers, max_size=4),
)


@settings(deadline=None)
@given(st.lists(made_records, min_size=1, max_size=4))
def test_what_is_written_is_what_is_parsed(written: list[Record]) -> None:
    parsed = records.parse_batch([records.to_example(r, Vocab()) for r in written], max_length=5)
    for i, record in enumerate(written):
        assert parsed["image/encoded"][i].numpy() == record.encoded
        assert parsed["image/key"][i].numpy().decode() == record.key
        assert parsed["label/text"][i].numpy().decode() == record.text
        assert parsed["source"][i].numpy().decode() == record.source
        ids = parsed["label/ids"][i].numpy()
        assert "".join(str(d) for d in ids if d >= 0) == record.text
        assert ids.shape == (5,)
        np.testing.assert_array_equal(parsed["box"][i], record.box or [-1] * 4)


TURNED = Number("205", (0.25, 1.0, 0.25, 0.5, 0.75, 0.5, 0.75, 1.0))  # read from the bottom to the top
PARTLY_OUTSIDE = Number("7", (-0.25, 0.0, 0.125, 0.0, 0.125, 0.25, -0.25, 0.25))
EXAMPLE = Record(
    b"\x89PNG",
    "png",
    "train/1.png",
    "205",
    "svhn",
    (0.25, 0.5, 0.75, 1.0),
    [(0.25, 0.5, 0.5, 1.0)],
    [TURNED, PARTLY_OUTSIDE],
)


def test_the_serialised_bytes_are_pinned() -> None:
    """A change here is a change of the contract: bump dataset_info.SCHEMA_VERSION with it."""
    data = records.to_example(EXAMPLE, Vocab())
    assert dataset_info.SCHEMA_VERSION == 2
    assert hashlib.sha256(data).hexdigest() == "2c0d29fe90243f83f8d3a5b284dd6e6fd82b6448ee3210d1594c3524a340d2f1"


def test_tensorflow_reads_the_same_message() -> None:
    example = tf.train.Example.FromString(records.to_example(EXAMPLE, Vocab()))
    assert set(example.features.feature) == set(records.FEATURES)
    assert list(example.features.feature["label/ids"].int64_list.value) == [2, 0, 5]
    assert list(example.features.feature["box"].float_list.value) == [0.25, 0.5, 0.75, 1.0]
    assert list(example.features.feature["numbers/text"].bytes_list.value) == [b"205", b"7"]
    coordinates = list(example.features.feature["numbers/corners"].float_list.value)
    assert coordinates == [*TURNED.corners, *PARTLY_OUTSIDE.corners]


def without_numbers(data: bytes) -> bytes:
    """The record as version 1 of the schema had it."""
    example = tf.train.Example.FromString(data)
    for name in ("numbers/text", "numbers/corners"):
        del example.features.feature[name]
    return example.SerializeToString(deterministic=True)


@given(made_records)
@settings(deadline=None, max_examples=20)
def test_a_record_of_version_1_is_read(record: Record) -> None:
    data = without_numbers(records.to_example(record, Vocab()))
    assert records.from_example(data) == dataclasses.replace(record, numbers=[])
    parsed = records.parse_batch([data], max_length=5)
    assert parsed["label/text"][0].numpy().decode() == record.text


def test_version_1_is_pinned_too() -> None:
    """The bytes that version 1 wrote, so that a change cannot make datasets written then unreadable."""
    data = without_numbers(records.to_example(EXAMPLE, Vocab()))
    assert hashlib.sha256(data).hexdigest() == "7f6aa82fd8668f30c697c3f515393ec649edd3763bd84384b0b3a5a530fed4d8"


@pytest.mark.parametrize("count", [0, 7, 8, 15, 17, 24])
def test_a_wrong_number_of_coordinates_is_named(count: int) -> None:
    example = tf.train.Example.FromString(records.to_example(EXAMPLE, Vocab()))
    del example.features.feature["numbers/corners"].float_list.value[:]
    example.features.feature["numbers/corners"].float_list.value.extend([0.5] * count)
    with pytest.raises(Damaged, match=f"numbers/corners has {count} coordinates for 2 numbers, expected 8 per number"):
        records.from_example(example.SerializeToString())


@given(numbers)
def test_a_numbers_upright_box_is_around_its_corners_and_in_the_image(number: Number) -> None:
    left, top, right, bottom = number.upright_box
    assert 0 <= left <= right <= 1
    assert 0 <= top <= bottom <= 1
    for x, y in number.points:
        assert left <= min(1.0, max(0.0, x)) <= right
        assert top <= min(1.0, max(0.0, y)) <= bottom
    assert TURNED.upright_box == (0.25, 0.5, 0.75, 1.0)
    assert PARTLY_OUTSIDE.upright_box == (0.0, 0.0, 0.125, 0.25)


@given(st.lists(st.binary(max_size=50), max_size=5))
@settings(deadline=None)
def test_framing_is_tensorflows(payloads: list[bytes]) -> None:
    buffer = io.BytesIO()
    framed = b"".join(tfrecord.write_framed(buffer, payload) for payload in payloads)
    assert framed == buffer.getvalue()
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for payload in payloads:
                writer.write(payload)
        assert Path(file.name).read_bytes() == framed
        assert list(tfrecord.read_framed(io.BytesIO(framed))) == payloads


@given(made_records)
def test_a_record_is_read_back_without_tensorflow(record: Record) -> None:
    assert records.from_example(records.to_example(record, Vocab())) == record


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=3), st.data())
def test_a_changed_or_cut_file_is_found_and_what_came_before_is_read(
    payloads: list[bytes], data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    ends = [len(framed) for framed in (tfrecord.write_framed(buffer, payload) for payload in payloads)]
    whole = buffer.getvalue()
    spot = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[spot] ^= data.draw(st.integers(1, 255))
    sound = sum(sum(ends[: i + 1]) <= spot for i in range(len(ends)))
    cut_between_records = spot == sum(ends[:sound])  # which the count tells, not the framing
    for damaged in [bytes(changed)] + [whole[:spot]] * (not cut_between_records):
        found: list[bytes] = []
        with pytest.raises(Damaged, match=f"record {sound} at byte {sum(ends[:sound])}"):
            found.extend(tfrecord.read_framed(io.BytesIO(damaged)))  # what came before the error is kept
        assert found == payloads[:sound]


def test_a_foreign_message_is_no_record() -> None:
    example = tf.train.Example.FromString(records.to_example(EXAMPLE, Vocab()))
    example.features.feature["source"].bytes_list.value[0] = b"\xff"
    for data in (b"nonsense", tf.train.Example().SerializeToString(), example.SerializeToString()):
        with pytest.raises(Damaged):
            records.from_example(data)


def info() -> dataset_info.DatasetInfo:
    split = dataset_info.Split(
        3, {"svhn": 3}, {"1": 1, "5": 2}, [dataset_info.Shard("train.tfrecord-00000-of-00001", 3, 9, "x")]
    )
    return dataset_info.DatasetInfo("0123456789", {"train": split}, 4, {"label": 1}, ["python"], {"seed": 1})


def test_dataset_info_survives_json() -> None:
    assert dataset_info.info_from_json(info().to_json(), "folder") == info()
    former = json.loads(info().to_json()) | {"schema_version": 1}
    assert dataset_info.info_from_json(json.dumps(former), "folder").splits == info().splits
    assert info().max_length == 5


def write_dataset(folder: Path, text: str, *, completed: bool = True) -> str:
    folder.mkdir()
    (folder / dataset_info.INFO_FILE).write_text(text)
    if completed:
        (folder / dataset_info.COMPLETED_FILE).touch()
    return str(folder)


def test_unfinished_and_foreign_datasets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the dataset folder .* does not exist"):
        dataset_info.read_info(str(tmp_path / "nowhere"))
    unfinished = write_dataset(tmp_path / "unfinished", info().to_json(), completed=False)
    with pytest.raises(UserError, match="has no COMPLETED"):
        dataset_info.read_info(unfinished)
    newer = json.loads(info().to_json()) | {"schema_version": 3}
    with pytest.raises(UserError, match="schema version 3, but this program reads versions 1 and 2: regenerate"):
        dataset_info.read_info(write_dataset(tmp_path / "newer", json.dumps(newer)))
    with pytest.raises(UserError, match="damaged"):
        dataset_info.read_info(write_dataset(tmp_path / "damaged", "{"))


def test_a_missing_split_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="no records in split 'test'; it has: train"):
        dataset_info.shard_paths("folder", info(), "test")
