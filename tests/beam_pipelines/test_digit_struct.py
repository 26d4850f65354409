from pathlib import Path

import h5py
import numpy as np
import pytest

from beam_pipelines import digit_struct
from beam_pipelines.digit_struct import DigitBox, Entry
from trainer.cli import UserError

ENTRIES = [
    Entry("1.png", (DigitBox(5, 43, 7, 19, 30),)),
    Entry("2.png", (DigitBox(2, 99, 5, 14, 23), DigitBox(1, 114, 8, 8, 23), DigitBox(0, -1, 6, 12.5, 23))),
]


def write(path: Path, entries: list[Entry]) -> None:
    """In MATLAB's layout: one digit's value in place, several as references; 10 for zero; names as uint16."""
    with h5py.File(path, "w") as file:
        root, refs = file.create_group("digitStruct"), file.create_group("#refs#")
        names = root.create_dataset("name", (len(entries), 1), h5py.ref_dtype)
        boxes = root.create_dataset("bbox", (len(entries), 1), h5py.ref_dtype)
        for i, entry in enumerate(entries):
            characters = np.array([[ord(c)] for c in entry.name], np.uint16)
            names[i, 0] = refs.create_dataset(f"name{i}", data=characters).ref
            group = refs.create_group(f"box{i}")
            boxes[i, 0] = group.ref
            for field in digit_struct.FIELDS:
                values = [float(getattr(d, field)) for d in entry.digits]
                if field == "label":
                    values = [value or 10.0 for value in values]
                if len(values) == 1:
                    group.create_dataset(field, data=[values])
                    continue
                column = group.create_dataset(field, (len(values), 1), h5py.ref_dtype)
                for k, value in enumerate(values):
                    column[k, 0] = refs.create_dataset(f"{field}{i}-{k}", data=[[value]]).ref


def test_one_digit_and_several_are_read_and_ten_is_zero(tmp_path: Path) -> None:
    write(tmp_path / "digitStruct.mat", ENTRIES)
    assert list(digit_struct.read(str(tmp_path / "digitStruct.mat"))) == ENTRIES


def test_what_is_no_digit_struct_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        list(digit_struct.read(str(tmp_path / "nowhere.mat")))
    (tmp_path / "text.mat").write_text("MATLAB 5.0")
    with pytest.raises(UserError, match=r"v7\.3"):
        list(digit_struct.read(str(tmp_path / "text.mat")))
    h5py.File(tmp_path / "other.mat", "w").close()
    with pytest.raises(UserError, match="no digitStruct"):
        list(digit_struct.read(str(tmp_path / "other.mat")))


def test_a_genuine_file_reads_as_its_annotations_say(shared_data: Path) -> None:
    import gzip
    import json

    for split in ("train", "test"):
        path = shared_data / "digitstruct" / f"svhn_{split}_annotations.json.gz"
        annotations = json.loads(gzip.decompress(path.read_bytes()))
        by_name = {a["filename"]: a["boxes"] for a in annotations} if isinstance(annotations, list) else annotations
        genuine = list(digit_struct.read(str(shared_data / "digitstruct" / f"genuine_{split}_digitStruct.mat")))
        assert len(genuine) >= 39
        assert all(entry.name in by_name for entry in genuine)
