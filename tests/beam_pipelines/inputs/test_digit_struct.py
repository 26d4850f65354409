import gzip
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.inputs import digit_struct, svhn
from beam_pipelines.inputs.digit_struct import DamagedEntry, DigitBox, DigitStruct, Entry
from beam_pipelines.inputs.hdf5 import Hdf5, UnknownLayout
from beam_pipelines.inputs.labelled import local_file
from beam_pipelines.sharding.shards import Reject
from trainer.cli import UserError

ENTRIES = [
    Entry("1.png", (DigitBox(5, 43, 7, 19, 30),)),
    Entry("2.png", (DigitBox(2, 99, 5, 14, 23), DigitBox(1, 114, 8, 8, 23), DigitBox(0, -1, 6, 12.5, 23))),
]


def put(group: Any, name: str, data: Any, kind: Any, layout: str = "contiguous") -> Any:
    """Write a dataset as MATLAB does: small ones in their header (compact), with an attribute that names the class."""
    array = np.asarray(data, h5py.ref_dtype if kind == "reference" else kind)
    if layout == "chunked" and array.size:
        dataset = group.create_dataset(name, data=array, dtype=array.dtype, chunks=array.shape, compression="gzip")
    elif layout == "compact":
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        stored, space = h5py.h5t.py_create(array.dtype, logical=True), h5py.h5s.create_simple(array.shape)
        dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), stored, space, properties))
        dataset[...] = array
    else:
        dataset = group.create_dataset(name, data=array, dtype=array.dtype)
    dataset.attrs["MATLAB_class"] = np.bytes_("double")
    return dataset


def write(path: Path, entries: list[Entry], layout: str = "contiguous", **options: Any) -> None:
    """Write entries in MATLAB's layout: one digit's value in place, several as references; 0 as 10; names as uint16."""
    with h5py.File(path, "w", **options) as file:
        root, refs = file.create_group("digitStruct"), file.create_group("#refs#")
        names = root.create_dataset("name", (len(entries), 1), h5py.ref_dtype)
        boxes = root.create_dataset("bbox", (len(entries), 1), h5py.ref_dtype)
        for i, entry in enumerate(entries):
            codes = np.frombuffer(entry.name.encode("utf-16-le"), "<u2")[:, np.newaxis]
            names[i, 0] = put(refs, f"name{i}", codes, "<u2", layout).ref
            group = refs.create_group(f"box{i}")
            boxes[i, 0] = group.ref
            for field in digit_struct.FIELDS:
                values = [float(getattr(d, field)) for d in entry.digits]
                if field == "label":
                    values = [value or 10.0 for value in values]
                if len(values) == 1:
                    put(group, field, [values], "<f8", layout)
                    continue
                column = np.empty((len(values), 1), h5py.ref_dtype)
                for k, value in enumerate(values):
                    column[k, 0] = put(refs, f"{field}{i}-{k}", [[value]], "<f8", layout).ref
                put(group, field, column, "reference", layout)


def read(path: Path, *, by_h5py: bool = False) -> list[Entry]:
    reader = DigitStruct(local_file(str(path)), str(path))
    if by_h5py:
        reader._hdf5 = None
    return [reader.entry(i) for i in range(len(reader))]


@pytest.mark.parametrize("layout", ["contiguous", "compact"])
def test_one_digit_and_several_are_read_and_ten_is_zero(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES, layout, userblock_size=512, libver="earliest")
    assert read(path) == ENTRIES
    with h5py.File(path) as file:  # MATLAB's layouts do not need h5py
        hdf5 = Hdf5(local_file(str(path)))
        boxes = file[file["digitStruct/bbox"][1, 0]]
        members = hdf5.members(h5py.h5o.get_info(boxes.id).addr)
        assert sorted(members) == sorted(digit_struct.FIELDS)
        kind, references = hdf5.values(members["left"])
        assert (kind, [hdf5.values(at) for at in references]) == ("Q", [("d", (99,)), ("d", (114,)), ("d", (-1,))])


def test_any_entry_is_read_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES * 3)
    reader = DigitStruct(local_file(str(path)), str(path))
    assert len(reader) == 6
    assert [reader.entry(i) for i in (5, 0, 3)] == [ENTRIES[1], ENTRIES[0], ENTRIES[1]]
    assert reader.name(4) == "1.png"


numbers = st.floats(allow_nan=False)
digits = st.builds(DigitBox, st.integers(0, 9), numbers, numbers, numbers, numbers)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.builds(Entry, names, st.lists(digits, max_size=7).map(tuple)), min_size=1, max_size=4),
    st.sampled_from(["contiguous", "compact", "chunked"]),
    st.sampled_from(["earliest", "latest"]),
    st.sampled_from([0, 512, 1024]),
)
def test_what_h5py_writes_in_any_layout_is_read(
    entries: list[Entry], layout: str, version: str, userblock: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "digitStruct.mat"
        write(path, entries, layout, libver=version, userblock_size=userblock)
        assert read(path) == read(path, by_h5py=True) == entries


def test_an_array_of_one_image_is_stored_without_references(tmp_path: Path) -> None:
    path = tmp_path / "digitStruct.mat"
    with h5py.File(path, "w") as file:
        root = file.create_group("digitStruct")
        put(root, "name", [[ord(c)] for c in "1.png"], "<u2")
        box = root.create_group("bbox")
        for field in digit_struct.FIELDS:
            put(box, field, [[float(getattr(ENTRIES[0].digits[0], field))]], "<f8")
    assert read(path) == ENTRIES[:1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda refs: refs["box0/label"].__setitem__((0, 0), 11.0), "a label is 11, not 1 to 10"),
        (lambda refs: refs["box0/label"].__setitem__((0, 0), np.nan), "a label is nan"),
        (lambda refs: refs["box0"].pop("left"), "entry 1 is damaged"),
        (lambda refs: refs["name0"].__setitem__((0, 0), 0xD800), "a name is not text"),
    ],
)
def test_a_damaged_entry_is_named_and_the_others_are_read(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES)
    with h5py.File(path, "r+") as file:
        change(file["#refs#"])
    reader = DigitStruct(local_file(str(path)), str(path))
    with pytest.raises(DamagedEntry, match=message):
        reader.entry(0)
    assert reader.entry(1) == ENTRIES[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """Return a file's content, and the addresses of its objects."""
    path = tmp_path_factory.mktemp("small") / "digitStruct.mat"
    write(path, ENTRIES, libver="earliest")
    addresses: list[int] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, stored: addresses.append(h5py.h5o.get_info(stored.id).addr))
    return path.read_bytes(), addresses


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_damage_and_wrong_addresses_are_unknown_layouts(small: tuple[bytes, list[int]], data: st.DataObject) -> None:
    content, addresses = small
    address = data.draw(st.one_of(st.sampled_from(addresses), st.integers(0, 2**64 - 1)))
    damaged = bytearray(content)
    near = st.integers(address % len(content), min(address % len(content) + 400, len(content) - 1))
    for spot in data.draw(st.lists(near, max_size=3)):
        damaged[spot] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.mat"
        path.write_bytes(damaged[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
        with local_file(str(path)) as file:
            for method in ("values", "members"):
                try:
                    getattr(Hdf5(file), method)(address)
                except UnknownLayout:
                    continue


def test_what_is_no_digit_struct_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("MATLAB 5.0")
    with pytest.raises(UserError, match=r"v7\.3"):
        read(tmp_path / "text.mat")
    h5py.File(tmp_path / "other.mat", "w").close()
    with pytest.raises(UserError, match="no digitStruct"):
        read(tmp_path / "other.mat")


@pytest.mark.parametrize(
    ("mat", "annotations"),
    [
        ("digitstruct/genuine_train_digitStruct.mat", "digitstruct/svhn_train_annotations.json.gz"),
        ("digitstruct/genuine_test_digitStruct.mat", "digitstruct/svhn_test_annotations.json.gz"),
        ("format1/train/digitStruct.mat", "format1/train.json"),
        ("format1/test/digitStruct.mat", "format1/test.json"),
    ],
)
def test_real_files_read_as_their_annotations_say(shared_data: Path, mat: str, annotations: str) -> None:
    data = (shared_data / annotations).read_bytes()
    expected = json.loads(gzip.decompress(data) if annotations.endswith(".gz") else data)
    entries = read(shared_data / mat)
    assert len(entries) >= 39
    for entry in entries:
        columns = expected[entry.name]
        rows = zip(*(columns[field] for field in digit_struct.FIELDS), strict=True)
        assert entry.digits == tuple(DigitBox(label % 10, *box) for label, *box in rows)


@pytest.mark.parametrize("part", ["train", "test", "extra"])
def test_genuine_files_read_as_h5py_reads_them(shared_data: Path, part: str) -> None:
    path = shared_data / "digitstruct" / f"genuine_{part}_digitStruct.mat"
    assert read(path) == read(path, by_h5py=True)


@pytest.mark.parametrize("kind", [h5py.string_dtype(), h5py.string_dtype(length=12), h5py.string_dtype("ascii", 8)])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_names_may_be_strings(tmp_path: Path, kind: Any, shape: tuple) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES)
    with h5py.File(path, "r+") as file:
        for i, entry in enumerate(ENTRIES):
            text = np.full(shape, entry.name.encode(), kind)
            file["digitStruct/name"][i, 0] = file["#refs#"].create_dataset(f"text{i}", data=text, dtype=kind).ref
    assert read(path) == ENTRIES
    with h5py.File(path, "r+") as file:
        del file["digitStruct/name"]
        file["digitStruct"].create_dataset("name", data=[entry.name for entry in ENTRIES], dtype=kind)
    assert read(path) == ENTRIES


@pytest.mark.parametrize("field", ["name", "bbox"])
@pytest.mark.parametrize("count", [10**6, 10**12, 2**63 - 1])
def test_a_claim_of_more_entries_than_fit_is_refused(tmp_path: Path, field: str, count: int) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES)
    with h5py.File(path, "r+") as file:
        del file["digitStruct"][field]
        file["digitStruct"].create_dataset(field, (count, 1), h5py.ref_dtype, chunks=(1, 1))
    with pytest.raises(UserError, match=f"it claims {count:,}"):
        read(path)


@pytest.mark.parametrize("field", ["label", "left"])
def test_a_claim_of_more_digits_than_fit_is_a_damaged_entry(tmp_path: Path, field: str) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES)
    with h5py.File(path, "r+") as file:
        del file["#refs#/box0"][field]
        file["#refs#/box0"].create_dataset(field, (10**12, 1), "<f8", chunks=(1, 1))
    reader = DigitStruct(local_file(str(path)), str(path))
    with pytest.raises(DamagedEntry, match="1,000,000,000,000 values"):
        reader.entry(0)
    assert reader.entry(1) == ENTRIES[1]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_damage_is_an_error_of_the_file_or_of_an_entry(small: tuple[bytes, list[int]], data: st.DataObject) -> None:
    damaged = bytearray(small[0])
    for spot in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[spot] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "digitStruct.mat"
        path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged))) if data.draw(st.booleans()) else None])
        try:
            reader = DigitStruct(local_file(str(path)), str(path))
        except UserError:
            return
        for i in range(min(len(reader), 4)):
            try:
                reader.entry(i)
            except DamagedEntry:
                continue


def test_a_file_that_shrinks_while_it_is_read_kills_nobody(tmp_path: Path) -> None:
    path = tmp_path / "digitStruct.mat"
    write(path, ENTRIES * 200, libver="earliest")
    reader = DigitStruct(local_file(str(path)), str(path))
    assert reader.entry(0) == ENTRIES[0]
    os.truncate(path, 3000)
    with pytest.raises(DamagedEntry):
        reader.entry(399)


@pytest.mark.parametrize("name", ["../2.png", "/etc/2.png", "a/../../2.png", "C:\\2.png"])
def test_a_name_that_leads_out_is_rejected(tmp_path: Path, name: str) -> None:
    write(tmp_path / "digitStruct.mat", [Entry(name, ENTRIES[0].digits), Entry("./a//1.png", ENTRIES[0].digits)])
    source = svhn.open_photos(str(tmp_path))
    with pytest.raises(Reject) as reject:
        source.read(0)
    assert reject.value.reason == "outside-folder"
    assert source.read(1).key == source.key(1) == f"{tmp_path.name}/a/1.png"
