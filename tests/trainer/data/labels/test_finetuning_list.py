"""The list by which a model is fine-tuned."""

import errno
import os
from pathlib import Path

import pytest

from trainer.cli import UserError
from trainer.data.labels import finetuning_list
from trainer.vocab import DIGITS


def folder_of(tmp_path: Path, count: int, listed: str = "") -> Path:
    folder = tmp_path / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}_a.png").write_bytes(b"")
    if listed:
        (folder / "labels.csv").write_text(listed)
    return folder


def test_a_fifth_is_held_out_whatever_the_folder_is_called(tmp_path: Path) -> None:
    found = finetuning_list.read(str(folder_of(tmp_path, 25)), DIGITS)
    assert (found.count("train"), found.count("validation"), found.max_length) == (20, 5, 2)
    assert found.alphabet == DIGITS
    elsewhere = folder_of(tmp_path, 0).rename(tmp_path / "other")
    again = finetuning_list.read(str(elsewhere), DIGITS)
    assert [file.split for file in again.files] == [file.split for file in found.files]


def test_the_list_gives_splits_characters_and_who_is_left_out(tmp_path: Path) -> None:
    rows = [f"{i}_a.png,{i}.A,{'train' if i < 10 else 'validation'}" for i in range(12)]
    listed = "\n".join(["file,label,split", *rows, "0_a.png,7,train", "12_a.png,,train"])
    found = finetuning_list.read(str(folder_of(tmp_path, 12, listed)), DIGITS)
    assert (found.count("train"), found.count("validation"), found.left_out) == (9, 2, 2)
    assert found.alphabet == ".0123456789A"
    assert found.max_length == 4


def test_images_may_be_links_out_of_the_folder(tmp_path: Path) -> None:
    """Such a folder is prepared by the names in it: what the links lead to would be outside it, and rejected."""
    elsewhere, folder = folder_of(tmp_path / "elsewhere", 12), tmp_path / "links"
    folder.mkdir()
    for path in elsewhere.iterdir():
        (folder / path.name).symlink_to(path)
    found = finetuning_list.read(str(folder), DIGITS)
    assert {os.path.dirname(file.path) for file in found.files} == {str(folder)}
    assert found.count("validation") == 2


def test_a_list_is_written_once_and_another_is_refused(tmp_path: Path) -> None:
    images, workdir = folder_of(tmp_path, 12), tmp_path / "run"
    for _ in range(2):
        finetuning_list.read(str(images), DIGITS).write(str(workdir))
    before = (workdir / "labels.csv").read_bytes()
    (images / "77_b.png").write_bytes(b"")
    with pytest.raises(UserError, match="lists other images or labels"):
        finetuning_list.read(str(images), DIGITS).write(str(workdir))
    assert (workdir / "labels.csv").read_bytes() == before


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "latin-1"])
def test_what_stands_in_its_place_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run" / "labels.csv"
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"gr\xfcn")
    with pytest.raises(UserError, match="lists other images or labels"):
        finetuning_list.read(str(folder_of(tmp_path, 12)), DIGITS).write(str(path.parent))
    assert os.listdir(path.parent) == ["labels.csv"]
    assert not (tmp_path / "nowhere").exists()


def test_a_list_that_could_not_be_written_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finetuning_list.read(str(folder_of(tmp_path, 12)), DIGITS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            made.write(str(tmp_path / "run"))
    made.write(str(tmp_path / "run"))
    assert (tmp_path / "run" / "labels.csv").read_text().startswith("file,label,split\n")


def test_a_name_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 12)
    (folder / os.fsdecode(b"7_lat\xe9n.png")).write_bytes(b"")
    made = finetuning_list.read(str(folder), DIGITS)
    for _ in range(2):
        made.write(str(tmp_path / "run"))
    assert b"7_lat\xe9n.png" in (tmp_path / "run" / "labels.csv").read_bytes()


@pytest.mark.parametrize(
    ("count", "split", "says"),
    [(9, "train", "give at least 10"), (12, "train", "both must occur"), (12, "test", "must say train or validation")],
)
def test_what_cannot_be_split_is_one_line(tmp_path: Path, count: int, split: str, says: str) -> None:
    listed = "\n".join(["file,label,split", *(f"{i}_a.png,{i},{split}" for i in range(count))])
    with pytest.raises(UserError, match=says):
        finetuning_list.read(str(folder_of(tmp_path, count, listed)), DIGITS)
