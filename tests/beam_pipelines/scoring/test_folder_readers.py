"""Predictions open as a folder in other programs, and folders with the names of earlier versions are still ours."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet
import pytest

from beam_pipelines.sharding import outputs
from tests.beam_pipelines.scoring import drawn_photos
from trainer import report
from trainer.config import experiments
from trainer.data.formats.output_names import FORMER_PREDICTIONS, PREDICTIONS

COUNT = 5


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_photos.write(tmp_path_factory.mktemp("photos"), COUNT, "~.png")


@pytest.fixture
def run(photos: Path, tiny_model: Path) -> Callable[..., int]:
    return drawn_photos.scorer(photos, tiny_model)


def as_written_before(folder: Path) -> Path:
    """Give the files of an output their former names; its marker did not list them."""
    for now, then in zip(PREDICTIONS, FORMER_PREDICTIONS, strict=True):
        (folder / now).rename(folder / then)
    marker = json.loads((folder / outputs.MARKER_FILE).read_text())
    del marker["files"]
    (folder / outputs.MARKER_FILE).write_text(json.dumps(marker))
    return folder


def with_pyarrow(folder: str) -> list[str]:
    return pyarrow.parquet.read_table(folder)["key"].to_pylist()


def with_pyarrow_dataset(folder: str) -> list[str]:
    return pyarrow.dataset.dataset(folder).to_table()["key"].to_pylist()


def with_pandas(folder: str) -> list[str]:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return pandas.read_parquet(folder)["key"].tolist()


def with_duckdb(folder: str) -> list[str]:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    return [key for (key,) in duckdb.execute("SELECT key FROM read_parquet(?)", [folder]).fetchall()]


def with_polars(folder: str) -> list[str]:
    """Polars refuses a folder of which any file has another ending, hidden or not, so it gets a pattern."""
    polars = pytest.importorskip("polars", reason="Polars is not installed")
    return polars.read_parquet(f"{folder}/*.parquet")["key"].to_list()


@pytest.mark.parametrize("read", [with_pyarrow, with_pyarrow_dataset, with_pandas, with_duckdb, with_polars])
def test_a_folder_of_parquet_opens_in(
    read: Callable[[str], list[str]], tmp_path: Path, photos: Path, run: Callable[..., int]
) -> None:
    assert run(tmp_path / "out", "--format", "parquet") == 0
    assert {*PREDICTIONS, outputs.MARKER_FILE} <= {*os.listdir(tmp_path / "out")}
    assert sorted(read(str(tmp_path / "out"))) == sorted(str(p) for p in photos.iterdir() if p.name != "~.png")


def test_after_partitions_only_rows_have_names_that_readers_take(tmp_path: Path, run: Callable[..., int]) -> None:
    for partition in ("0/2", "1/2"):
        assert run(tmp_path / "out", "--format", "parquet", "--partition", partition) == 0
    names = [name for name in os.listdir(tmp_path / "out") if not name.startswith(("_", "."))]
    assert sorted(names) == [f"predictions-0000{i}-of-00002.parquet" for i in range(2)]
    assert len(with_pyarrow(str(tmp_path / "out"))) == COUNT


@pytest.mark.parametrize("marked", [True, False])
def test_former_predictions_are_complete_already(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], marked: bool
) -> None:
    assert run(tmp_path / "out") == 0
    as_written_before(tmp_path / "out")
    if not marked:
        (tmp_path / "out" / outputs.MARKER_FILE).unlink()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert run(tmp_path / "out") == 0
    assert run(tmp_path / "out", "--partition", "0/2") == 0
    assert capsys.readouterr().out.count("is already complete") == 2
    assert run(tmp_path / "out", "--min-confidence", "1") == 2
    assert "was written from other inputs or with other options" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("marked", [True, False])
def test_former_predictions_are_replaced_to_the_last_file(
    tmp_path: Path, run: Callable[..., int], marked: bool
) -> None:
    assert run(tmp_path / "out") == 0
    names = sorted(os.listdir(tmp_path / "out"))
    as_written_before(tmp_path / "out")
    if not marked:
        (tmp_path / "out" / outputs.MARKER_FILE).unlink()
    assert run(tmp_path / "out", "--overwrite") == 0
    assert sorted(os.listdir(tmp_path / "out")) == names


def test_former_predictions_are_replaced_by_a_run_that_is_killed_and_repeated(
    tmp_path: Path, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "out") == 0
    names = sorted(os.listdir(tmp_path / "out"))
    as_written_before(tmp_path / "out")
    deleted: list[str] = []
    delete = outputs.listing.delete

    def delete_one(path: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(Path(path).name)
        delete(path)

    with monkeypatch.context() as patch:
        patch.setattr(outputs.listing, "delete", delete_one)
        assert run(tmp_path / "out", "--overwrite") == 130
    assert deleted == [FORMER_PREDICTIONS.completed]
    assert run(tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == names


def test_a_partition_of_an_earlier_version_counts(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out, "--partition", "0/2") == 0
    (note,) = out.glob(f"{PREDICTIONS.completed}{outputs.NOTE}*")
    note.rename(out / note.name.removeprefix("_"))
    marker = json.loads((out / outputs.MARKER_FILE).read_text())
    del marker["files"]
    (out / outputs.MARKER_FILE).write_text(json.dumps(marker))
    (shard,) = out.glob("predictions-*")
    os.utime(shard, (1, 1))
    assert run(out, "--partition", "0/2") == 0
    assert "partition 0/2 of" in capsys.readouterr().out
    assert run(out, "--partition", "1/2") == 0
    assert shard.stat().st_mtime == 1
    assert not list(out.glob(f"*{outputs.NOTE}*"))
    assert (out / PREDICTIONS.completed).exists()


@pytest.mark.parametrize("flags", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("name", FORMER_PREDICTIONS)
def test_a_former_name_in_an_output_of_today_is_of_somebody_else(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str, flags: list[str]
) -> None:
    assert run(tmp_path / "out") == 0
    (tmp_path / "out" / name).write_text("years of work")
    assert run(tmp_path / "out", "--min-confidence", "1", *flags) == 2
    assert f"holds {name}, which this program did not write" in capsys.readouterr().err
    assert (tmp_path / "out" / name).read_text() == "years of work"


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_name_of_today_in_a_former_output_is_of_somebody_else(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(tmp_path / "out") == 0
    as_written_before(tmp_path / "out")
    (tmp_path / "out" / name).write_text("years of work")
    assert run(tmp_path / "out", "--min-confidence", "1", "--overwrite") == 2
    assert f"holds {name}, which this program did not write" in capsys.readouterr().err
    assert (tmp_path / "out" / name).read_text() == "years of work"


def test_a_flat_file_beside_former_predictions_is_made_again_and_replaced(
    tmp_path: Path, run: Callable[..., int]
) -> None:
    file = tmp_path / "out.csv"
    assert run(file) == 0
    content = file.read_bytes()
    as_written_before(tmp_path / "out.parts")
    assert run(file) == 0
    file.unlink()
    assert run(file) == 0
    assert file.read_bytes() == content
    assert run(file, "--overwrite") == 0
    assert file.read_bytes() == content
    assert (tmp_path / "out.parts" / PREDICTIONS.completed).exists()


@pytest.mark.parametrize("former", [False, True])
def test_a_report_shows_both(tmp_path: Path, run: Callable[..., int], former: bool) -> None:
    assert run(tmp_path / "out") == 0
    (tmp_path / "config.json").write_text(experiments.find("smoke").to_json())
    if former:
        as_written_before(tmp_path / "out")
    page = tmp_path / "page.html"
    args = ["--workdir", str(tmp_path), "--predictions", str(tmp_path / "out"), "--output", str(page)]
    assert report.main(args) == 0
    assert f"{tmp_path}/out" in page.read_text()
