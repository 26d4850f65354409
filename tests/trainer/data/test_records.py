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
from trainer.data import dataset_info, records, tfrecord
from trainer.data.records import Record
from trainer.data.tfrecord import Damaged
from trainer.vocab import Vocab

boxes = st.tuples(*[st.floats(0, 1, width=32)] * 4)
made_records = st.builds(
    Record,
    encoded=st.binary(min_size=1, max_size=40),
    format=st.sampled_from(["png", "jpeg"]),
    key=st.text(min_size=1, max_size=20),
    text=st.text(alphabet="0123456789", min_size=1, max_size=5),
    source=st.sampled_from(["svhn", "csv"]),
    box=st.one_of(st.none(), boxes),
    char_boxes=st.lists(boxes, max_size=3),
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


EXAMPLE = Record(b"\x89PNG", "png", "train/1.png", "205", "svhn", (0.25, 0.5, 0.75, 1.0), [(0.25, 0.5, 0.5, 1.0)])


def test_the_serialised_bytes_are_pinned() -> None:
    """A change here is a change of the contract: bump records.SCHEMA_VERSION with it."""
    data = records.to_example(EXAMPLE, Vocab())
    assert dataset_info.SCHEMA_VERSION == 1
    assert hashlib.sha256(data).hexdigest() == "7f6aa82fd8668f30c697c3f515393ec649edd3763bd84384b0b3a5a530fed4d8"


def test_tensorflow_reads_the_same_message() -> None:
    example = tf.train.Example.FromString(records.to_example(EXAMPLE, Vocab()))
    assert set(example.features.feature) == set(records.FEATURES)
    assert list(example.features.feature["label/ids"].int64_list.value) == [2, 0, 5]
    assert list(example.features.feature["box"].float_list.value) == [0.25, 0.5, 0.75, 1.0]


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
    newer = json.loads(info().to_json()) | {"schema_version": 2}
    with pytest.raises(UserError, match="schema version 2, but this program reads version 1"):
        dataset_info.read_info(write_dataset(tmp_path / "newer", json.dumps(newer)))
    with pytest.raises(UserError, match="damaged"):
        dataset_info.read_info(write_dataset(tmp_path / "damaged", "{"))


def test_a_missing_split_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="no records in split 'test'; it has: train"):
        dataset_info.shard_paths("folder", info(), "test")
