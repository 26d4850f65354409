"""Labelled images as people have them."""

import os
from pathlib import Path

import pytest

from trainer.cli import UserError
from trainer.data.labels import labelled_folder
from trainer.vocab import DIGITS


def labels(folder: Path) -> dict[str, tuple[str, ...]]:
    return {Path(one.path).name: one.texts for one in labelled_folder.read(str(folder), DIGITS)}


def make(folder: Path, *names: str, listed: str = "") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    if listed:
        (folder / "labels.csv").write_text(listed, encoding="utf-8")
    return folder


def test_labels_are_the_beginnings_of_file_names(tmp_path: Path) -> None:
    make(tmp_path, "images/123_front.JPG", "007.png", "12_3.jpeg", ".hidden/x.png", "notes.txt")
    assert labels(tmp_path) == {"123_front.JPG": ("123",), "007.png": ("007",), "12_3.jpeg": ("12",)}


def test_labels_are_the_names_of_sub_folders(tmp_path: Path) -> None:
    assert labels(make(tmp_path, "12/5.png", "12/a.png", "train/34/b.png")) == {
        "5.png": ("12",),
        "a.png": ("12",),
        "b.png": ("34",),
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_labels_are_listed(tmp_path: Path, delimiter: str, mark: str) -> None:
    rows = [
        ("File", "Label", "note"),
        ("a.png", "12", "x"),
        ("images/b.png", " 3 ", ""),
        ("b.png", "45", ""),
        ("c.png", ""),
    ]
    text = mark + "\r\n".join(delimiter.join(row) for row in rows)
    made = make(tmp_path, "a.png", "images/b.png", "c.png", "99.png", listed=text)
    assert labels(made) == {"a.png": ("12",), "b.png": ("3", "45"), "c.png": ()}


def test_a_split_is_chosen_from_a_list(tmp_path: Path) -> None:
    made = make(tmp_path, "1.png", "2.png", listed="file,label,split\n1.png,1,train\n2.png,2,test\n")
    assert [one.texts for one in labelled_folder.read(str(made), DIGITS, "test")] == [("2",)]
    with pytest.raises(UserError, match="no rows of the split other"):
        labelled_folder.read(str(made), DIGITS, "other")
    (made / "labels.csv").unlink()
    with pytest.raises(UserError, match="does not exist"):
        labelled_folder.read(str(made), DIGITS, "test")


@pytest.mark.parametrize(
    ("names", "listed", "says"),
    [
        (["front.jpg"], "", "has no label: name it like 123_front.jpg"),
        (["_5.jpg"], "", "has no label"),
        (["notes.txt"], "", "has no images"),
        (["1.png"], "name,text\n1.png,1\n", "must have the columns file, label"),
        (["1.png"], "file,label\n,1\n", "line 2: no file is named"),
        (["1.png"], "file,label\n1\0.png,1\n", "line 2: no file is named|line contains NUL"),
        (["1.png"], 'file,label\n"1.png,1\n', "after line 1: unexpected end of data"),
    ],
)
def test_what_has_no_labels_is_one_line(tmp_path: Path, names: list[str], listed: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        labelled_folder.read(str(make(tmp_path, *names, listed=listed)), DIGITS)


def test_a_list_in_another_encoding_and_a_missing_folder_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,label\ngr\xfcn.png,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        labelled_folder.read(str(tmp_path), DIGITS)
    with pytest.raises(UserError, match="is not a local folder"):
        labelled_folder.read(str(tmp_path / "nowhere"), DIGITS)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_a_list_that_is_not_a_file_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "labels.csv"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match=f"it is {kind}, not a regular file"):
        labelled_folder.read(str(tmp_path), DIGITS)


@pytest.mark.parametrize("name", ["../secret.png", "{top}/secret.png", "{top}/inside/../secret.png", "..\\secret.png"])
def test_names_that_lead_out_of_the_folder_need_a_folder_that_contains_them(tmp_path: Path, name: str) -> None:
    make(tmp_path, "secret.png")
    inside = make(tmp_path / "inside", "1.png", listed=f"file,label\n1.png,1\n{name.format(top=tmp_path)},2\n")
    with pytest.raises(UserError, match=r"line 3: .*secret.png leads out of .*inside: give .* as --images"):
        labelled_folder.read(str(inside), DIGITS)
    found = labelled_folder.read(str(inside), DIGITS, images=str(tmp_path))
    assert [(one.path, one.texts) for one in found if one.texts == ("2",)] == [(str(tmp_path / "secret.png"), ("2",))]


def test_listed_names_are_those_of_the_folder_that_is_given(tmp_path: Path) -> None:
    make(tmp_path / "photos", "1.png", "sub/2.png")
    lists = make(tmp_path / "lists", "1.png", listed="file,label\n1.png,1\n../photos/sub/2.png,2\n")
    found = labelled_folder.read(str(lists), DIGITS, images=str(tmp_path / "photos"))
    assert [one.path for one in found] == [str(tmp_path / "photos" / name) for name in ("1.png", "sub/2.png")]
    with pytest.raises(UserError, match="needs a list"):
        labelled_folder.read(str(tmp_path / "photos"), DIGITS, images=str(tmp_path / "photos"))
