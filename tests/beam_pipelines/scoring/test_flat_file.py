"""`score --output FILE`: all rows in one file, made again by a second run, and never in place of another file."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from beam_pipelines import score
from beam_pipelines.sharding import write_output
from tests.beam_pipelines.scoring import drawn_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_photos.write(tmp_path_factory.mktemp("photos"), 9, "~.png")


@pytest.fixture
def run(photos: Path, tiny_model: Path):
    def run_score(output: Path, *options: str) -> int:
        args = ["--model", str(tiny_model), "--input", str(photos), "--num-shards", "3", "--output", str(output)]
        return score.main([*args, *options])

    return run_score


def keys(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        return pyarrow.parquet.read_table(file).column("key").to_pylist()
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines)) if file.suffix == ".csv" else [json.loads(line) for line in lines]
    return [row["key"] for row in rows]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_all_rows_are_in_one_file_and_the_rejects_beside_it(tmp_path: Path, photos: Path, run, ending: str) -> None:
    file = tmp_path / f"out.{ending}"
    assert run(file) == 0
    assert keys(file) == sorted(str(path) for path in photos.iterdir() if path.name != "~.png")
    assert sorted(os.listdir(tmp_path)) == [f"out.{ending}", "out.parts"]
    assert "~.png" in (tmp_path / "out.parts" / "_rejects.jsonl").read_text()
    content = file.read_bytes()
    assert run(file) == 0  # nothing to do
    assert run(file, "--overwrite") == 0
    assert file.read_bytes() == content


def test_a_run_that_was_killed_before_the_file_makes_it(tmp_path: Path, run) -> None:
    file = tmp_path / "out.csv"
    assert run(file) == 0
    content = file.read_bytes()
    file.unlink()
    assert run(file) == 0
    assert file.read_bytes() == content


def test_partitions_make_it_once_all_are_done(tmp_path: Path, run) -> None:
    file = tmp_path / "out.jsonl"
    assert run(file, "--partition", "0/2") == 0
    assert not file.exists()
    assert run(file, "--partition", "1/2") == 0
    assert len(keys(file)) == 9


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_another_file_is_never_replaced(
    tmp_path: Path, run, overwrite: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("key,notes\n")
    assert run(file, *overwrite) == 2
    assert "this file was not written from" in capsys.readouterr().err
    assert file.read_text() == "key,notes\n"
    assert os.listdir(tmp_path) == ["mine.csv"]
    file.unlink()
    assert run(file) == 0
    with file.open("a") as rows:
        rows.write("a line of the user\n")
    assert run(file, *overwrite) == 2
    assert file.read_text().endswith("a line of the user\n")


def test_other_options_need_overwrite(tmp_path: Path, run, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.csv"
    assert run(file) == 0
    assert run(file, "--min-confidence", "0.5") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(file, "--min-confidence", "1", "--overwrite") == 0
    assert "false" in file.read_text()


def test_the_ending_and_the_format_agree(tmp_path: Path, run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "out.csv", "--format", "jsonl") == 2
    assert "contradict each other: leave out --format" in capsys.readouterr().err
    assert run(tmp_path / "out.csv", "--format", "csv") == 0


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["dangling link", "link", "pipe"])
def test_neither_a_link_nor_a_pipe_is_replaced(tmp_path: Path, run, kind: str, overwrite: list[str]) -> None:
    """A link to our own rows, too, is the user's."""
    file, elsewhere = tmp_path / "out.csv", tmp_path / "elsewhere.csv"
    assert run(file) == 0
    content = file.read_bytes()
    if kind == "link":
        file.rename(elsewhere)
    else:
        file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(elsewhere)
    assert run(file, *overwrite) == 2
    assert file.is_fifo() if kind == "pipe" else os.readlink(file) == str(elsewhere)
    if kind != "link":
        assert not elsewhere.exists()
    else:
        assert elsewhere.read_bytes() == content


def test_a_file_that_appears_while_it_runs_is_not_replaced(
    tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.csv"
    write = write_output.write

    def write_and_see_another(*args: Any, **options: Any) -> None:
        write(*args, **options)
        file.write_text("key,notes\n")

    monkeypatch.setattr(write_output, "write", write_and_see_another)
    assert run(file) == 2
    assert "this file was not written from" in capsys.readouterr().err
    assert file.read_text() == "key,notes\n"


def test_a_damaged_shard_is_named(tmp_path: Path, run, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.jsonl"
    assert run(file) == 0
    file.unlink()
    shard = tmp_path / "out.parts" / "predictions-00001-of-00003.jsonl"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run(file) == 2
    assert "predictions-00001-of-00003.jsonl is not what _summary.json says" in capsys.readouterr().err
    assert not file.exists()


def test_an_ending_in_capitals_is_the_same(tmp_path: Path, run) -> None:
    assert run(tmp_path / "OUT.CSV") == 0
    assert len(keys((tmp_path / "OUT.CSV").rename(tmp_path / "out.csv"))) == 9
