"""Nothing that is not ours is ever deleted or overwritten, and no two runs write into one output."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from beam_pipelines import draw, inspect, prepare, score, synthesize
from beam_pipelines.dataset.writer import KIND
from beam_pipelines.sharding import listing, outputs
from trainer.data.formats.dataset_info import COMPLETED_FILE, INFO_FILE
from trainer.files import lock
from trainer.inference.exports.exported_model import CHECKSUMS

Main = Callable[[list[str]], int]


def snapshot(folder: Path) -> dict[str, object]:
    """Return every path with its content, or with its target if it is a link."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def made(out: Path, *args: object, status: int = 0) -> Path:
    common = ["--count", 6, "--num-shards", 2, "--max-digits", 2, "--seed", 3, "--output", out]
    assert synthesize.main([*map(str, [*common, *args])]) == status
    return out


STRANGERS = [
    "my-predictions-2019.csv",
    "predictions-00000-of-00001.jsonl",
    "imagenet-train.tfrecord-00000-of-00003",
    "train.tfrecord-00000-of-00003",
    "train.tfrecord-00000-of-00002.tmp-backup",
    "tfds/thesis.txt",
    "summary.json",
    "rejects.jsonl",
    "COMPLETED",
    "dataset_info.json",
    ".svhn-output.json",
    "notes.txt",
]


def put(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("years of work")


@pytest.mark.parametrize("flags", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize("name", STRANGERS)
def test_a_folder_with_a_file_of_somebody_else_is_refused_untouched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, flags: list[str]
) -> None:
    put(tmp_path / "out", name)
    before = snapshot(tmp_path)
    made(tmp_path / "out", *flags, status=2)
    assert f"holds {name}, which this program did not write" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


OTHERS = sorted(set(STRANGERS) - {"COMPLETED", "dataset_info.json", "rejects.jsonl", ".svhn-output.json"})


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_somebody_else_in_an_output_of_ours_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = made(tmp_path / "out")
    put(out, name)
    before = snapshot(out)
    made(out, "--seed", 4, "--overwrite", status=2)
    assert f"holds {name}, which this program did not write" in capsys.readouterr().err
    assert snapshot(out) == before


def test_nothing_is_removed_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("thesis.txt", "dataset_info.json", "features.json"):
        put(elsewhere, name)
    out = made(tmp_path / "out")
    for file in (out / "tfds").iterdir():
        file.unlink()
    (out / "tfds").rmdir()
    (out / "tfds").symlink_to(elsewhere)
    before = snapshot(tmp_path)
    made(out, "--overwrite", status=2)
    assert "holds tfds, which this program did not write" in capsys.readouterr().err
    (out / "tfds").unlink()
    (out / INFO_FILE).unlink()
    (out / INFO_FILE).symlink_to(elsewhere / "thesis.txt")
    made(out, "--overwrite", status=2)
    assert snapshot(elsewhere) == {
        name.removeprefix("elsewhere/"): c for name, c in before.items() if "elsewhere/" in name
    }


def test_an_output_is_replaced_to_the_last_file_and_folders_in_it_stay(tmp_path: Path) -> None:
    out = made(tmp_path / "out", "--num-shards", 3)
    put(out, "mine/thesis.txt")
    made(out, "--num-shards", 2, "--overwrite")
    assert (out / "mine" / "thesis.txt").exists()
    (out / "mine" / "thesis.txt").unlink()
    (out / "mine").rmdir()
    assert snapshot(out) == {
        name: content.replace(b"other", b"out") if isinstance(content, bytes) else content
        for name, content in snapshot(made(tmp_path / "other", "--num-shards", 2)).items()
    } | {INFO_FILE: (out / INFO_FILE).read_bytes()}


def test_a_finished_output_of_the_version_before_is_replaced_and_an_unfinished_one_is_not(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    (out / outputs.MARKER_FILE).unlink()
    made(out, "--seed", 4, status=2)
    made(out, "--seed", 4, "--overwrite")
    (out / outputs.MARKER_FILE).unlink()
    (out / COMPLETED_FILE).unlink()
    before = snapshot(out)
    made(out, status=2)
    assert snapshot(out) == before


def test_completed_is_removed_first_and_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(tmp_path / "out")
    events: list[str] = []
    delete, replace = outputs.listing.delete, os.replace

    def noted_delete(path: str) -> None:
        events.append(f"- {Path(path).name}")
        delete(path)

    def noted_replace(source: str, target: str) -> None:
        events.append(f"+ {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(outputs.listing, "delete", noted_delete)
    monkeypatch.setattr(os, "replace", noted_replace)
    made(out, "--seed", 4, "--overwrite")
    assert events[0] == f"+ {outputs.MARKER_FILE}"
    assert next(event for event in events if event.startswith("-")) == f"- {COMPLETED_FILE}"
    assert events[-1] == f"+ {COMPLETED_FILE}"
    assert events.count(f"+ {COMPLETED_FILE}") == 1


def test_two_runs_into_one_output_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with lock.Lock(str(out / outputs.LOCK_FILE), None):
        made(out, status=42)
        made(out, "--share", "0/2", status=42)
    assert f"{out} is in use by process {os.getpid()}" in capsys.readouterr().err
    assert not list(out.iterdir())
    with lock.Lock(str(out / f"{outputs.LOCK_FILE}-{1:08x}-00000-of-00002"), None):
        made(out, status=42)
        made(out, "--share", "0/2", status=42)
        made(out, "--share", "1/2", status=42)  # of another request
    made(out)


def test_partitions_of_one_request_run_at_once_and_the_end_is_success_for_all(tmp_path: Path) -> None:
    out, statuses = tmp_path / "out", []

    def run(index: int) -> None:
        args = ["--count", "12", "--num-shards", "4", "--seed", "3", "--output", str(out), "--share", f"{index}/4"]
        statuses.append(synthesize.main(args))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 4
    assert (out / COMPLETED_FILE).exists()
    assert not [name for name in os.listdir(out) if outputs.LOCK_FILE in name or outputs.NOTE in name]


def test_a_partition_that_starts_while_another_writes_the_marker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_files, out = listing.files, str(tmp_path / "out")

    def list_before_the_other_marks(folder: str) -> dict[str, listing.File]:
        found = list_files(folder)
        monkeypatch.undo()
        outputs.mark(out, KIND, ["train.tfrecord-00000-of-00001"])
        return found

    monkeypatch.setattr(listing, "files", list_before_the_other_marks)
    outputs.check_strangers(out, KIND)
    assert os.listdir(out) == [outputs.MARKER_FILE]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: data + data])
def test_a_shard_of_another_size_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes], tiny_model: Path
) -> None:
    out = made(tmp_path / "out")
    shard = out / "train.tfrecord-00000-of-00002"
    shard.write_bytes(damage(shard.read_bytes()))
    assert inspect.main([str(out)]) == 2
    args = ["--source", "crops", "--records", str(out), "--count", "2", "--output", str(tmp_path / "crops")]
    assert synthesize.main(args) == 2
    args = ["--model", str(tiny_model), "--input", str(shard), "--output", str(tmp_path / "read")]
    assert score.main(args) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith(f"error: {shard} ")]) == 3


def test_a_dataset_of_inputs_that_changed_since_is_not_taken_for_theirs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "photos"
    assert draw.main(["--count", "3", "--output", str(images)]) == 0
    args = ["--format", "csv", "--input", str(images), "--output", str(tmp_path / "out")]
    assert prepare.main(args) == 0
    assert prepare.main(args) == 0
    assert "nothing to do" in capsys.readouterr().out
    changed = next((images / "images").iterdir())
    Image.new("RGB", (9, 9)).save(changed)
    assert prepare.main(args) == 2
    assert "written from other inputs" in capsys.readouterr().err
    assert prepare.main([*args, "--overwrite"]) == 0


def test_what_decides_the_answers_decides_whether_predictions_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    images = tmp_path / "photos"
    assert draw.main(["--count", "3", "--output", str(images)]) == 0
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    args = ["--model", str(model), "--input", str(images / "images"), "--output", str(tmp_path / "read")]
    assert score.main(args) == 0
    assert score.main(args) == 0
    assert "nothing to do" in capsys.readouterr().out
    first = next((images / "images").iterdir())
    os.utime(first, (1, 1))
    assert score.main(args) == 2
    assert score.main([*args, "--overwrite"]) == 0
    # The same weights, calibrated otherwise.
    info = model / "assets" / "model_info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "calibration": {"thresholds": []}}))
    (model / CHECKSUMS).unlink()
    assert score.main(args) == 2


def text(path: Path) -> None:
    path.write_text("years of work")


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    target = path.with_name("target.png")
    Image.new("RGB", (3, 3)).save(target)
    path.symlink_to(target)


@pytest.mark.parametrize("occupy", [text, folder, link])
def test_a_sheet_replaces_nothing_but_an_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], occupy: Callable[[Path], None], tiny_dataset: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    occupy(sheet)
    before = snapshot(tmp_path)
    assert inspect.main([str(tiny_dataset), "--sheet", str(sheet)]) == 2
    assert synthesize.main(["--count", "2", "--preview", str(sheet)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[1] for line in lines] == ["--sheet", "--preview"]
    assert snapshot(tmp_path) == before


def test_a_sheet_replaces_an_image(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    Image.new("RGB", (3, 3)).save(sheet)
    assert synthesize.main(["--count", "2", "--preview", str(sheet)]) == 0
    assert Image.open(sheet).size != (3, 3)
