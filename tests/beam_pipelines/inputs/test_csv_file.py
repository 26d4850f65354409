"""CSV files as people and spreadsheets write them: every row becomes a record or a named reject, or nothing is done."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines import prepare
from beam_pipelines.inputs import csv_file
from tests.beam_pipelines.dataset.test_datasets import parsed, rejects
from trainer.cli import UserError
from trainer.data.formats import dataset_info
from trainer.data.labels import listed_names

UNLABELLED = "images without an entry"


def listed(folder: Path, rows: str | bytes, *images: str) -> Path:
    """Write a folder with labels.csv and images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), "red").save(folder / name, "PNG")
    return folder


def prepared(folder: Path, *args: str, status: int = 0) -> Path:
    out = folder.parent / "out"
    assert prepare.main(["--format", "csv", "--input", str(folder), "--output", str(out), *args]) == status
    return out


def texts(out: Path) -> dict[str, str]:
    return {key: record["label/text"].decode() for key, record in parsed(out).items()}


@pytest.mark.parametrize("prefix", ["", "./", "images/", "./images//", ".\\images\\"])
@pytest.mark.parametrize("folders", [("", ""), ("a/", "b/"), ("", "b/c/")])
def test_names_with_the_folder_and_in_sub_folders_are_found(
    tmp_path: Path, prefix: str, folders: tuple[str, str]
) -> None:
    one, two = (f"{folder}{i}.png" for i, folder in enumerate(folders))
    images = [f"images/{name}" for name in (one, two, "other.png", "deep/more.png")]
    rows = f"file,label\n{prefix}{one},007\n{prefix}{two},12\n"
    out = prepared(listed(tmp_path / "mine", rows, *images))
    assert texts(out) == {f"mine/{one}": "007", f"mine/{two}": "12"}
    assert rejects(out) == {}
    assert dataset_info.read_info(str(out)).notes[UNLABELLED] == 2


def test_a_folder_of_that_name_below_is_no_prefix(tmp_path: Path) -> None:
    out = prepared(listed(tmp_path / "mine", "file,label\nimages/1.png,7\n", "images/images/1.png", "images/1.png"))
    assert texts(out) == {"mine/images/1.png": "7"}
    assert dataset_info.read_info(str(out)).notes[UNLABELLED] == 1


def test_two_ways_to_write_a_name_are_one_image(tmp_path: Path) -> None:
    names = ["1.png", "./1.png", "images/1.png", "a/../1.png", ".//1.png", "a\\..\\1.png"]
    rows = "".join(f"{name},{i}\n" for i, name in enumerate(names))
    out = prepared(listed(tmp_path / "mine", "file,label\n" + rows, "images/1.png"))
    info = dataset_info.read_info(str(out))
    assert info.rejects == {"duplicate-name": 5}
    assert texts(out) == {"mine/1.png": "0"}
    assert UNLABELLED not in info.notes


def test_names_that_lead_out_are_rejected_unless_the_images_lie_there(tmp_path: Path) -> None:
    listed(tmp_path / "secret", "", "2.png")
    names = [f"{tmp_path}/secret/2.png", "../secret/2.png", "a/../../secret/2.png", "C:\\2.png", "gs://b/2.png", "/"]
    rows = "".join(f"{name},{i}\n" for i, name in enumerate(names))
    folder = listed(tmp_path / "mine", f"file,label\n1.png,1\n{rows}", "1.png")
    out = prepared(folder)
    assert texts(out) == {"mine/1.png": "1"}
    assert dataset_info.read_info(str(out)).rejects == {"outside-folder": 6}
    shutil.rmtree(out)
    out = prepared(folder, "--images", f"{tmp_path}")
    assert texts(out) == {"mine/secret/2.png": "0"}
    assert dataset_info.read_info(str(out)).rejects == {"outside-folder": 2, "duplicate-name": 2, "missing-picture": 2}


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('1.png,7,x\n2.png,12,"open\n3.png,5,z\n', 3),
        ('1.png,7,x\n2.png,12,"open\n3.png,5,z\n4.png,5,"z"\n', 3),
        ('1.png,7,x\n2.png,12,"open\n3.png,5,z\n4.png,5,z"\n', 3),
        ('1.png,7,x\n"2.png,12,open\n3.png",5,z\n', 3),
        ('"1.png,7,x\n2.png,12,open\n3.png,5,z\n', 2),
        ('1.png,"7\n2.png,12\n3.png,5"\n', 2),
        ('1.png,7\n2.png,"12' + "\n3.png,5" * 40_000 + "\n", 3),
        ('1.png,7\n2.png,"1"2\n', 3),
        ("1.png,7\n2.png,1\r3.png,4\n", 3),
        ("1.png,7\n2.png,1\x002\n", 3),
        ("1.png,7\n\n\n2.png,1é\n".encode("latin-1"), 5),
    ],
)
def test_what_swallows_rows_is_an_error_with_its_line(
    tmp_path: Path, rows: str | bytes, line: int, capsys: pytest.CaptureFixture
) -> None:
    images = [f"{i}.png" for i in range(1, 5)]
    content = b"file,label,comment\n" + (rows if isinstance(rows, bytes) else rows.encode())
    out = prepared(listed(tmp_path / "mine", content, *images), status=2)
    error = capsys.readouterr().err
    assert f"labels.csv, line {line}" in error
    assert error.count("\n") == 1
    assert not out.exists()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_with_a_quote_anywhere_every_row_is_there_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = [f"{i}.png,{i},remark {i}" for i in range(5)]
    text = "file,label,comment\n" + "\n".join(lines) + "\n"
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len("file,label,comment\n"), len(text)))
        text = text[:at] + '"' + text[at:]
    folder = listed(tmp_path_factory.mktemp("quotes"), text)
    try:
        rows = list(csv_file.open_csv(str(folder), None).entries())
    except UserError:
        return
    assert len(rows) == len([line for line in text.splitlines()[1:] if line])


def test_a_name_with_a_line_break_is_read(tmp_path: Path) -> None:
    out = prepared(listed(tmp_path / "mine", 'file,label\n"a\nb.png",7\n2.png,8\n', "a\nb.png", "2.png"))
    assert texts(out) == {"mine/a\nb.png": "7", "mine/2.png": "8"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [["file", "label"], [" File ", '"LABEL"']])
def test_what_spreadsheets_write_is_read(
    tmp_path: Path, mark: str, ending: str, delimiter: str, header: list[str]
) -> None:
    rows = [header, ["1.png", "7"], ["2.png", '"1,2;"'], ["", ""], ["3.png", "3", "", ""]]
    text = mark + ending.join(map(delimiter.join, rows)) + ending
    out = prepared(listed(tmp_path / "mine", text, "1.png", "2.png", "3.png"), "--alphabet", "0123456789,;")
    assert texts(out) == {"mine/1.png": "7", "mine/2.png": "1,2;", "mine/3.png": "3"}
    assert dataset_info.read_info(str(out)).rejects == {"csv-row": 1}  # of a row that names nothing


def test_too_many_values_are_a_reject_and_not_cut_off(tmp_path: Path) -> None:
    out = prepared(listed(tmp_path / "mine", "file,label\n1.png,1,234\n2.png,7\n", "1.png", "2.png"))
    assert rejects(out) == {"mine/1.png": "csv-row"}
    assert "3 values, but the first line names 2" in (out / dataset_info.REJECTS_FILE).read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no first line"),
        (b"\n\n", "has no first line"),
        (b"file,label\n", "names no images"),
        (b"file,label,label\n1.png,1,2\n", "has the column label more than once"),
        (b"file|label\n1.png|1\n", "begins 'file|label'"),
        ("file,label\n1.png,1\n".encode("utf-16"), "save it as CSV in UTF-8"),
        ("file,label\n1.png,1\n".encode("utf-16-le"), "save it as CSV in UTF-8"),
    ],
)
def test_a_file_that_is_no_list_is_named(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture
) -> None:
    out = prepared(listed(tmp_path / "mine", content, "1.png"), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_list_that_shrinks_while_it_is_read_is_read_as_it_was(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 10}\n" for i in range(20_000))
    path = listed(tmp_path / "mine", "file,label\n" + rows) / "labels.csv"
    source = csv_file.open_csv(str(path), None)
    entries = source.entries()
    places = [next(entries)[0] for _ in range(10)]
    os.truncate(path, 100)  # a reader of a memory map would be killed
    assert len(list(entries)) == 19_990
    assert source.read(places[9]).text == "9"
    csv_file._content.cache_clear()  # as in a worker that starts now
    with pytest.raises(UserError, match="changed while it was read"):
        source.read(places[9])


def test_a_latin_1_name_beside_the_list_is_counted(tmp_path: Path) -> None:
    folder = listed(tmp_path / "mine", "file,label\n1.png,1\n", "1.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/lat\xe9n.png")).write_bytes(b"")
    assert dataset_info.read_info(str(prepared(folder))).notes[UNLABELLED] == 1


parts = st.sampled_from(["a", "b.png", ".", "..", "", "a b", "C:", "é"])


@given(st.lists(parts, min_size=1, max_size=6).map("/".join))
def test_a_name_never_leads_out_of_its_folder(name: str) -> None:
    inside = listed_names.inside(name)
    path = os.path.normpath(os.path.join("/top/folder", name))
    if inside is not None:
        assert path == f"/top/folder/{inside}"
        assert listed_names.below("/top/folder", path) == inside == listed_names.inside(inside)
