"""The score command in this process, on a tiny model."""

import csv
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from beam_pipelines import score
from beam_pipelines.scoring import model_store
from beam_pipelines.scoring.image_list import IMAGES_FILE
from tests.beam_pipelines.scoring import drawn_photos
from trainer.cluster import cpu
from trainer.data.formats.output_names import PREDICTIONS
from trainer.inference.exports.exported_model import CHECKSUMS, ExportedModel

COUNT = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 drawn numbers; the last two files are not images."""
    return drawn_photos.write(tmp_path_factory.mktemp("photos"), COUNT, "~1.png", "~2.png")


@pytest.fixture(scope="module")
def scored(photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_score(tmp_path_factory.mktemp("out") / "scored", tiny_model, photos)


def run_score(output: Path, model: Path, *inputs: object, options: tuple[str, ...] = (), status: int = 0) -> Path:
    args = ["--model", str(model), "--input", *map(str, inputs), "--output", str(output), "--num-shards", "3"]
    assert score.main([*args, "--batch-size", "16", *options]) == status
    return output


def summary(folder: Path) -> dict:
    return json.loads((folder / "_summary.json").read_text())


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) if path.name != PREDICTIONS.rejects
            for line in path.read_text().splitlines()]  # fmt: skip


def data_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "_summary.json"}


def test_rows_are_sorted_by_key_and_with_the_rejects_they_are_all(scored: Path, photos: Path) -> None:
    keys = [row["key"] for row in rows(scored)]
    rejects = [json.loads(line) for line in (scored / PREDICTIONS.rejects).read_text().splitlines()]
    assert keys == sorted(keys)
    assert sorted(keys + [reject["key"] for reject in rejects]) == sorted(map(str, photos.iterdir()))
    assert {reject["reason"] for reject in rejects} == {"undecodable"}
    figures = summary(scored)
    assert figures["images"] == figures["rows"] + sum(figures["rejects"].values()) == COUNT + 2
    assert figures["accepted"] == COUNT
    assert figures["for_review"] == 0
    assert figures["accuracy"] is None
    assert sum(figures["confidence_histogram"]) == sum(figures["lengths"].values()) == COUNT
    assert figures["images_per_second"] > 0


@pytest.mark.parametrize("workers", [1, 3])
def test_again_and_with_more_workers_the_same_bytes(
    scored: Path, photos: Path, tiny_model: Path, tmp_path: Path, workers: int
) -> None:
    options = (f"--direct_num_workers={workers}", "--direct_running_mode=multi_threading")
    again = run_score(tmp_path / "again", tiny_model, photos, options=options)
    assert data_files(again) == data_files(scored)


def test_rows_do_not_depend_on_shards_and_batches(scored: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    options = ("--num-shards", "1", "--batch-size", "7")
    other = run_score(tmp_path / "other", tiny_model, photos, options=options)
    for one, wanted in zip(rows(other), rows(scored), strict=True):
        assert one["key"] == wanted["key"]
        assert one["confidence"] == pytest.approx(wanted["confidence"], abs=1e-5)
        for mine, theirs in zip(one["candidates"], wanted["candidates"], strict=True):
            assert mine["log_prob"] == pytest.approx(theirs["log_prob"], abs=1e-4)


def test_few_images_give_one_file_and_each_partition_has_one(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    args = ["--model", str(tiny_model), "--input", str(photos), "--output"]
    assert score.main([*args, str(tmp_path / "alone")]) == 0
    assert [path.name for path in (tmp_path / "alone").glob("pred*")] == ["predictions-00000-of-00001.jsonl"]
    for share in ("0/2", "1/2"):
        assert score.main([*args, str(tmp_path / "shared"), "--partition", share]) == 0
    assert len(list((tmp_path / "shared").glob("pred*"))) == 2
    shared, alone = ([row["key"] for row in rows(tmp_path / name)] for name in ("shared", "alone"))
    assert shared == alone


def test_batches_are_full_and_the_model_is_loaded_once(
    photos: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, sizes = [], []
    load, read = model_store.load, ExportedModel.read

    def counting_load(path: str, precision: str) -> ExportedModel:
        loads.append(path)
        return load(path, precision)

    def counting_read(self: ExportedModel, images: list, **options: Any) -> list:
        sizes.append(len(images))
        return read(self, images, **options)

    monkeypatch.setattr(model_store, "load", counting_load)
    monkeypatch.setattr(ExportedModel, "read", counting_read)
    threads = ("--direct_num_workers=3", "--direct_running_mode=multi_threading")
    run_score(tmp_path / "out", tiny_model, photos, options=("--num-shards", "2", *threads))
    assert sorted(sizes) == [13, 15, 16, 16]  # of 31 images, and of 31 of which two are none
    assert loads == [str(tiny_model)]


def test_the_precision_is_in_the_summary_and_decides_the_rows(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = ("--precision", "float32", "--direct_num_workers=3", "--direct_running_mode=multi_threading")
    output = run_score(tmp_path / "out", tiny_model, photos, options=exact)
    assert summary(output)["precision"] == {"float32": COUNT}
    run_score(output, tiny_model, photos, status=2)
    assert "--overwrite" in capsys.readouterr().err
    run_score(output, tiny_model, photos, options=("--overwrite",))
    assert summary(output)["precision"] == {"bfloat16" if cpu.computes_in_bfloat16() else "float32": COUNT}


def test_parquet_has_the_same_rows(scored: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    outs = [run_score(tmp_path / name, tiny_model, photos, options=("--format", "parquet")) for name in ("one", "two")]
    assert data_files(outs[0]) == data_files(outs[1])
    found = [row for path in sorted(outs[0].glob("*.parquet")) for row in pyarrow.parquet.read_table(path).to_pylist()]
    # Columns of every file; left out of JSON where there is nothing.
    for column in ("label", "box", "numbers", "numbers_cut_off"):
        assert [row.pop(column) for row in found] == [None] * COUNT
    assert found == rows(scored)


def test_csv_has_the_same_rows(scored: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = run_score(tmp_path / "out", tiny_model, photos, options=("--format", "csv"))
    found = []
    for path in sorted(output.glob("predictions-*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            found += list(csv.DictReader(file))
    strings = {"key", "text", "found_as", "model"}
    parsed = [
        {name: value if name in strings else json.loads(value) for name, value in row.items() if value} for row in found
    ]
    assert parsed == rows(scored)


def test_an_archive_and_a_list_give_what_the_folder_gives(
    scored: Path, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for path in photos.iterdir():
            tar.add(path, arcname=path.name)
    (tmp_path / "list.txt").write_text("\n".join(map(str, photos.iterdir())))
    archived = run_score(tmp_path / "archived", tiny_model, tmp_path / "photos.tar")
    listed = run_score(tmp_path / "listed", tiny_model, tmp_path / "list.txt")
    assert data_files(listed) == data_files(scored)
    for name, wanted in data_files(scored).items():
        if name == IMAGES_FILE:  # it is compressed
            continue
        wanted = wanted.replace(str(photos).encode(), f"{tmp_path}/photos.tar".encode())
        assert data_files(archived)[name] == wanted.replace(b'"found_as": "file"', b'"found_as": "member"')


def test_records_are_compared_with_their_labels(tiny_dataset: Path, tiny_model: Path, tmp_path: Path) -> None:
    confidences = [row["confidence"] for row in rows(run_score(tmp_path / "all", tiny_model, tiny_dataset))]
    limit = sorted(confidences)[40]
    out = run_score(tmp_path / "out", tiny_model, tiny_dataset, options=("--min-confidence", str(limit)))
    found, figures = rows(out), summary(out)
    right = [row for row in found if row["candidates"][0]["text"] == row["label"]]
    accuracy = figures["accuracy"]
    assert accuracy["examples"] == len(found) == 80
    assert accuracy["right"] == len(right)
    assert accuracy["sequence_accuracy"] == len(right) / 80
    assert accuracy["by_length"].keys() == {"1", "2"}
    for length, share in accuracy["by_length"].items():
        assert share["examples"] == sum(len(row["label"]) == int(length) for row in found)
        assert share["right"] == sum(len(row["label"]) == int(length) for row in right)
    accepted = [row for row in found if row["confidence"] >= limit]
    assert figures["accepted"] == accuracy["of_accepted"]["examples"] == len(accepted)
    assert figures["for_review"] == 80 - len(accepted)
    assert accuracy["of_accepted"]["right"] == sum(row in right for row in accepted)
    assert [row["accepted"] for row in found] == [row in accepted for row in found]


def test_the_width_and_the_number_of_candidates_are_chosen(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    options = ("--beam-width", "5", "--candidates", "4")
    out = run_score(tmp_path / "out", tiny_model, next(photos.glob("4-*.png")), options=options)
    assert [len(row["candidates"]) for row in rows(out)] == [4]


def calibrated(model: Path, folder: Path, thresholds: list[tuple[float, float | None]]) -> Path:
    shutil.copytree(model, folder)
    (folder / CHECKSUMS).unlink()
    path = folder / "assets" / "model_info.json"
    measured = [{"accuracy": accuracy, "confidence": confidence} for accuracy, confidence in thresholds]
    calibration = {"temperature": 1.0, "offset": 0.0, "thresholds": measured}
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": calibration}))
    return folder


def test_a_target_accuracy_chooses_the_threshold(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = calibrated(tiny_model, tmp_path / "model", [(0.95, 0.0), (0.98, 0.9999), (0.99, None)])
    for target, accepted in (("0.95", COUNT), ("0.98", 0)):
        out = run_score(tmp_path / target, model, photos, options=("--target-accuracy", target))
        assert summary(out)["accepted"] == accepted
    for given, target, message in (
        (model, "0.99", "no confidence of this model reached it"),
        (model, "0.9", "thresholds are for 0.95, 0.98, 0.99"),
        (tiny_model, "0.98", "is not calibrated"),
    ):
        run_score(tmp_path / "none", given, photos, options=("--target-accuracy", target), status=2)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", "0"), "--batch-size: 0: give a whole number, at least 1 and at most 1,000,000"),
        (
            ("--batch-size", "9" * 20),
            f"--batch-size: {'9' * 20}: give a whole number, at least 1 and at most 1,000,000",
        ),
        (("--beam-width", "0"), "--beam-width 0"),
        (("--min-confidence", "98"), "--min-confidence 98: it must be between 0 and 1"),
        (("--beam-width", "2", "--candidates", "3"), "raise --beam-width"),
        (("--min-confidence", "0.5", "--target-accuracy", "0.98"), "not allowed with"),
    ],
)
def test_mistakes_are_named(
    photos: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    options: tuple[str, ...],
    message: str,
) -> None:
    run_score(tmp_path / "out", tiny_model, photos, options=options, status=2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["file", "file/deep/out"])
def test_an_output_that_cannot_be_a_folder_is_refused(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    (tmp_path / "file").touch()
    run_score(tmp_path / name, tiny_model, photos, status=2)
    assert f"{tmp_path}/file is not a writable folder" in capsys.readouterr().err


def test_other_candidates_are_another_request(
    scored: Path, photos: Path, tiny_model: Path, capsys: pytest.CaptureFixture
) -> None:
    run_score(scored, tiny_model, photos)
    assert "nothing to do" in capsys.readouterr().out
    run_score(scored, tiny_model, photos, options=("--candidates", "1"), status=2)
    assert "--overwrite" in capsys.readouterr().err
