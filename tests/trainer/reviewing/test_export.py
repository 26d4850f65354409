"""The export of a review, and that `prepare`, `finetune` and `evaluate` take it as it is."""

import os
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import prepare
from tests.trainer.reviewing import scored
from trainer import review
from trainer.cli import UserError
from trainer.data.formats import dataset_info
from trainer.data.labels import finetuning_list, labelled_folder
from trainer.reviewing import export, predictions, queue
from trainer.reviewing.journal import Journal, Kind
from trainer.reviewing.queue import Options
from trainer.reviewing.review import Review
from trainer.vocab import DIGITS

COUNT = 16


def reviewed(folder: Path, rows: list[dict[str, Any]]) -> Review:
    source, journal = predictions.open_predictions(str(scored.write(folder, rows))), Journal(f"{folder}.answers")
    return Review(queue.plan(source, Options(1.0), journal.keys()), journal)


def answer(made: Review, key: object, kind: Kind, text: str = "", *, box_right: bool = True, box: Any = None) -> None:
    [row] = [row for row in made.queue.rows.values() if row.key == str(key)]
    seen = len(made.journal.history(row.key))
    made.answer(row, kind, text, box_right=box_right, reviewer="anna", seen=seen, box=box)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return scored.images(tmp_path / "photos", COUNT + 4)


@pytest.fixture
def made(tmp_path: Path, paths: list[Path]) -> Review:
    """A review in which 16 numbers are answered, one image without a number, one unreadable, one with a wrong box."""
    found = reviewed(tmp_path / "predictions", [scored.row(path, text="12") for path in paths])
    for number, path in enumerate(paths[:COUNT]):
        answer(found, path, "number", f"{number:03d}")
    others: list[tuple[Kind, str]] = [("none", ""), ("unreadable", ""), ("number", "5")]
    for path, (kind, text) in zip(paths[COUNT:], others, strict=False):
        answer(found, path, kind, text, box_right=False)
    return found


def test_every_answer_is_exported_with_its_box_or_counted_as_left_out(made: Review, tmp_path: Path) -> None:
    done = export.write(made, str(tmp_path / "out"))
    assert (done.numbers, done.none, done.left_out) == (COUNT, 1, {"unreadable": 1, "wrong box": 1})
    rows = scored.labels(tmp_path / "out")
    assert sorted(row["label"] for row in rows) == ["", *(f"{i:03d}" for i in range(COUNT))]
    for row in rows:
        corners = [row[name] for name in export.CORNERS]
        assert corners == ([f"{value:g}" for value in scored.BOX] if row["label"] else [""] * 8)
        assert (row["reviewer"], row["read"]) == ("anna", "12")
        assert (tmp_path / "out" / "images" / row["file"]).read_bytes() == Path(row["key"]).read_bytes()


def test_a_frame_that_was_drawn_replaces_that_of_the_model(made: Review, tmp_path: Path, paths: list[Path]) -> None:
    drawn = (5.5, 6.0, 70.0, 6.0, 70.0, 30.0, 5.5, 30.0)
    answer(made, paths[-1], "number", "42", box_right=False, box=drawn)
    journal = Journal(f"{tmp_path / 'predictions'}.answers")
    assert journal.current(str(paths[-1])) == made.journal.current(str(paths[-1]))
    export.write(made, str(tmp_path / "out"))
    [row] = [row for row in scored.labels(tmp_path / "out") if row["label"] == "42"]
    assert tuple(float(row[name]) for name in export.CORNERS) == drawn


def test_prepare_finetune_and_evaluate_take_it_as_it_is(made: Review, tmp_path: Path) -> None:
    """The list is read by what `evaluate FOLDER` and `finetune FOLDER` read it with, and by the command `prepare`."""
    export.write(made, str(tmp_path / "out"))
    files = labelled_folder.read(str(tmp_path / "out"), DIGITS)
    assert sorted(file.texts for file in files) == [(), *((f"{i:03d}",) for i in range(COUNT))]
    listed = finetuning_list.read(str(tmp_path / "out"), DIGITS)
    assert (len(listed.files), listed.left_out, listed.has_boxes) == (COUNT, 1, True)
    cut = listed.cut(str(tmp_path / "cut"))
    assert len(cut.files) == COUNT
    for crop, rejects in (("tight", 1), ("whole", 0)):  # without a box, an image has no tight crop
        args = ["--format", "csv", "--input", str(tmp_path / "out"), "--split", "train", "--num-shards", "1"]
        assert prepare.main([*args, "--crop", crop, "--output", str(tmp_path / crop)]) == 0
        info = dataset_info.read_info(str(tmp_path / crop))
        assert sum(shard.records for shard in info.splits["train"].shards) == COUNT + 1 - rejects


def test_predictions_without_boxes_give_a_list_without_boxes(tmp_path: Path, paths: list[Path]) -> None:
    rows = [scored.row(path, box=None, numbers=None, numbers_cut_off=None) for path in paths]
    found = reviewed(tmp_path / "predictions", rows)
    for path in paths[:12]:
        answer(found, path, "number", "77")
    export.write(found, str(tmp_path / "out"))
    assert (tmp_path / "out" / "labels.csv").read_text().splitlines()[0] == ",".join(("file", "label", *export.FURTHER))
    listed = finetuning_list.read(str(tmp_path / "out"), DIGITS)
    assert (len(listed.files), listed.has_boxes) == (12, False)
    args = [
        "--format",
        "csv",
        "--input",
        str(tmp_path / "out"),
        "--output",
        str(tmp_path / "data"),
        "--num-shards",
        "1",
    ]
    assert prepare.main(args) == 0


def test_a_second_export_is_brought_up_to_date_and_follows_the_last_answer(
    made: Review, tmp_path: Path, paths: list[Path]
) -> None:
    export.write(made, str(tmp_path / "out"))
    answer(made, paths[0], "number", "999")
    answer(made, paths[1], "withdrawn")
    answer(made, paths[-1], "number", "888")
    done = export.write(made, str(tmp_path / "out"))
    assert done.numbers == COUNT
    labels = {row["key"]: row["label"] for row in scored.labels(tmp_path / "out")}
    assert labels[str(paths[0])] == "999"
    assert str(paths[1]) not in labels
    assert labels[str(paths[-1])] == "888"


def test_nothing_of_others_is_replaced(made: Review, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.csv").write_text("file,label\nmine.png,7\n")
    with pytest.raises(UserError, match="not a list that svhn review wrote"):
        export.write(made, str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.csv"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="a new folder"):
        export.write(made, str(tmp_path / "file"))


def test_images_on_another_disk_are_copied_and_missing_ones_counted(
    made: Review, tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    paths[0].unlink()
    done = export.write(made, str(tmp_path / "out"))
    assert (done.numbers, done.left_out["missing image"]) == (COUNT - 1, 1)
    images = list((tmp_path / "out" / "images").iterdir())
    assert len(images) == COUNT
    assert all(path.stat().st_nlink == 1 for path in images)


def test_the_command_exports_and_prints_the_promise(
    made: Review, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "predictions"), "--export", str(tmp_path / "out"), "--promise"]
    assert review.main(words) == 0
    said = capsys.readouterr()
    assert f"{COUNT} images with a number, 1 without one" in said.out
    assert "left out, unreadable: 1" in said.out
    assert "* from 0.9 " in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no finished predictions"),
        (["predictions", "--min-confidence", "2"], "--min-confidence"),
        (["predictions", "--export", "gs://bucket/out"], "give a local folder"),
        (["gs://bucket/predictions", "--answers", "gs://bucket/answers"], "give a local folder"),
        (["predictions", "--answers", "file", "--promise"], "give another folder"),
        (["predictions", "--token-file", "nowhere"], "--token-file"),
    ],
)
def test_mistakes_are_one_line(
    made: Review,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert review.main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
