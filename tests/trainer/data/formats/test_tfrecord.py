"""What is no TFRecord file is named, whatever length it claims."""

import gzip
import io
import os
import struct
import zlib
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.data.formats import dataset_info, tfrecord
from trainer.data.formats.tfrecord import Damaged
from trainer.files.local_file import NotAFile


def framed(*payloads: bytes) -> bytes:
    out = io.BytesIO()
    for data in payloads:
        tfrecord.write_framed(out, data)
    return out.getvalue()


def claim(length: int) -> bytes:
    """A header whose checksum is right."""
    packed = struct.pack("<Q", length)
    return packed + tfrecord.masked_crc(packed)


@pytest.mark.parametrize("length", [2**31, 10**13, 2**62, 2**63, 2**64 - 1, 10_000, 1 << 30])
@pytest.mark.parametrize("before", [0, 2])
def test_a_length_of_any_size_is_a_damaged_record(tmp_path: Path, length: int, before: int) -> None:
    data = framed(*[b"sound"] * before) + claim(length) + bytes(1000)
    path = tmp_path / "shard"
    path.write_bytes(data)
    where = rf"record {before} at byte {before * 21}: (it claims {length:,} bytes|the file ends within it)"
    with pytest.raises(Damaged, match=where):
        list(tfrecord.read_framed(io.BytesIO(data)))
    with pytest.raises(Damaged, match=where):
        tfrecord.count_records(str(path))


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zlib.compress, "zlib")])
def test_a_compressed_file_is_named(tmp_path: Path, compress: object, name: str) -> None:
    data = compress(framed(b"sound" * 100))  # type: ignore[operator]
    (tmp_path / "shard").write_bytes(data)
    for read in (
        lambda: list(tfrecord.read_framed(io.BytesIO(data))),
        lambda: tfrecord.count_records(str(tmp_path / "shard")),
    ):
        with pytest.raises(Damaged, match=f"compressed with {name}"):
            read()


@settings(deadline=None)
@given(payloads=st.lists(st.binary(max_size=40), max_size=5))
def test_records_are_counted_without_being_read(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("framed") / "shard"
    path.write_bytes(framed(*payloads))
    assert tfrecord.count_records(str(path)) == len(payloads)
    assert [data.numpy() for data in tf.data.TFRecordDataset([str(path)])] == payloads


def test_a_large_record_is_read_in_pieces() -> None:
    data = os.urandom(40 << 20)
    assert list(tfrecord.read_framed(io.BytesIO(framed(data, b"next")))) == [data, b"next"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shard")
    with pytest.raises(NotAFile, match="it is a pipe"):
        tfrecord.count_records(str(tmp_path / "shard"))


@pytest.mark.parametrize("content", [claim(10**13), claim(2**63) + bytes(50), gzip.compress(b"records", mtime=0)])
def test_the_trainer_is_given_no_such_shard(tmp_path: Path, content: bytes) -> None:
    """TensorFlow's reader would abort the process."""
    name = dataset_info.shard_name("train", 0, 1)
    (tmp_path / name).write_bytes(content)
    info = dataset_info.DatasetInfo(
        "0123456789", {"train": dataset_info.Split(1, shards=[dataset_info.Shard(name, 1, 1, "")])}, 1, {}, [], {}
    )
    with pytest.raises(UserError, match=f"{name} is damaged: record 0"):
        dataset_info.shard_paths(str(tmp_path), info, "train")
