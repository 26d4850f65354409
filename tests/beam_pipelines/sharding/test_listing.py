"""Files are listed by their literal names, in folders and in buckets."""

import os
from pathlib import Path

import pytest
from google.cloud import storage
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.sharding import listing, outputs
from tests.beam_pipelines.conftest import BUCKET

NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: not set(b"/\0") & set(name) and name.strip(b"."))


def fail(error: OSError) -> None:
    pytest.fail(str(error))


@given(folder=NAMES, names=st.sets(NAMES, max_size=4))
def test_a_folder_of_any_name_is_listed(tmp_path_factory: pytest.TempPathFactory, folder: bytes, names: set) -> None:
    top = os.fsencode(tmp_path_factory.mktemp("top")) + b"/" + folder
    os.makedirs(top + b"/sub")
    for name in names - {b"sub"}:
        Path(os.fsdecode(top + b"/" + name)).write_bytes(b"123")
    wanted = dict.fromkeys(map(os.fsdecode, names - {b"sub"}), 3)
    assert outputs.sizes(os.fsdecode(top)) == wanted
    found = listing.below(os.fsdecode(top), on_error=fail)
    assert {os.path.basename(file.path): file.size for file in found} == wanted


@pytest.mark.parametrize("folder", ["out [2024]", "o*t", "what?", "[!a]", "a#b%20", "plain"])
def test_a_prefix_of_any_name_is_listed(bucket: storage.Bucket, folder: str) -> None:
    for name in (f"{folder}/[1].png", f"{folder}/deep/2?.png", f"{folder}/", f"{folder}s/3.png", "o-t/4.png"):
        bucket.blob(name).upload_from_string(b"123")
    top = f"gs://{BUCKET}/{folder}"
    assert outputs.sizes(top) == outputs.sizes(f"{top}/") == {"[1].png": 3}
    found = list(listing.below(top, on_error=fail))
    assert [file.path for file in found] == [f"{top}/[1].png", f"{top}/deep/2?.png"]
    assert all(file.updated for file in found)


def test_what_is_no_file_is_listed_as_such(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "nowhere.png").symlink_to("none")
    (tmp_path / "round.png").symlink_to("round.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "top").symlink_to(tmp_path)
    (tmp_path / "1.png").write_bytes(b"1")
    names = {"pipe.png", "zero.png", "nowhere.png", "round.png", "1.png"}
    assert listing.files(str(tmp_path)).keys() == names
    found = {os.path.basename(file.path): file.is_regular for file in listing.below(str(tmp_path), fail)}
    assert found == {**dict.fromkeys(names | {"top"}, False), "1.png": True}
    assert listing.files(str(tmp_path / "none")) == listing.files(str(tmp_path / "1.png")) == {}
