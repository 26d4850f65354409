"""Datasets that look valid, but are stored in a way that the reader must leave to h5py."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from beam_pipelines.inputs.hdf5 import Hdf5, UnknownLayout

VALUES = (1.5, 2.5, 3.5)
DOUBLE = bytes.fromhex("11203f0008000000 00004000340b0034ff030000 00000000")  # the datatype message
CONTIGUOUS = struct.Struct("<BBQQ")  # the layout message: version, class, address, bytes


def write(path: Path) -> tuple[bytearray, int, bytes]:
    """Write one dataset of doubles; return the file's content, the dataset's address, and its layout message."""
    with h5py.File(path, "w", libver="earliest") as file:
        dataset = file.create_dataset("values", data=np.array([VALUES]))
        address = h5py.h5o.get_info(dataset.id).addr
        layout = CONTIGUOUS.pack(3, 1, dataset.id.get_offset(), 8 * len(VALUES))
    content = bytearray(path.read_bytes())
    assert content.count(layout) == content.count(DOUBLE) == 1
    return content, address, layout


def values(path: Path, address: int) -> tuple[str, tuple]:
    with open(path, "rb") as file:
        return Hdf5(file).values(address)


@pytest.mark.parametrize("size", [0, 8 * len(VALUES) - 1, 8 * len(VALUES) + 1, 2**40])
def test_a_dataset_of_another_size_than_its_shape_says_is_unknown(tmp_path: Path, size: int) -> None:
    path = tmp_path / "values.mat"
    content, address, layout = write(path)
    assert values(path, address) == ("d", VALUES)
    start = content.index(layout)
    struct.pack_into("<Q", content, start + CONTIGUOUS.size - 8, size)
    path.write_bytes(content)
    with pytest.raises(UnknownLayout, match=f"has {size} bytes instead of {8 * len(VALUES)}"):
        values(path, address)


def test_a_shared_message_is_unknown_even_if_its_bytes_look_like_a_datatype(tmp_path: Path) -> None:
    """The body of a shared message is the place of the real one."""
    path = tmp_path / "values.mat"
    content, address, _ = write(path)
    content[content.index(DOUBLE) - 4] |= 0x02  # the flags, in front of three reserved bytes and the message
    path.write_bytes(content)
    with pytest.raises(UnknownLayout, match="shares a message of type 3"):
        values(path, address)


def test_a_datatype_with_a_name_of_its_own_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "values.mat"
    with h5py.File(path, "w", libver="earliest") as file:
        file["double"] = np.dtype("<f8")
        dataset = file.create_dataset("values", data=np.array([VALUES]), dtype=file["double"])
        address = h5py.h5o.get_info(dataset.id).addr
    with pytest.raises(UnknownLayout, match="shares a message of type 3"):
        values(path, address)
