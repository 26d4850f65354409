"""`score --resume-from`: rows that are good enough are carried over, the other images are read again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import score
from beam_pipelines.scoring.image_list import IMAGES_FILE
from tests.beam_pipelines.scoring import drawn_photos
from tests.beam_pipelines.test_score import rows, summary
from trainer.inference.exports.exported_model import ExportedModel

COUNT = 24


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_photos.write(tmp_path_factory.mktemp("photos"), COUNT, "~1.png")


def run(model: Path, photos: Path, output: Path, *options: object, status: int = 0) -> Path:
    args = ["--model", model, "--input", photos, "--num-shards", "3", "--batch-size", "4", "--output", output, *options]
    assert score.main([str(arg) for arg in args]) == status
    return output


@pytest.fixture(scope="module")
def earlier(photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions, in each format, in which every other row says that another model has read `777` for certain."""
    folder = tmp_path_factory.mktemp("earlier")
    for name in ("jsonl", "csv", "parquet"):
        run(tiny_model, photos, folder / name, "--format", name)
    for path in sorted((folder / "jsonl").glob("predictions-*")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for row in lines[::2]:
            row |= {"text": "777", "confidence": 0.95, "model": "another", "accepted": False}
            row["candidates"][0]["text"] = "777"
        path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return folder


def test_only_images_below_are_read_again_and_the_counts_add_up(
    earlier: Path, photos: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = ExportedModel.read, [0]

    def counting(self: ExportedModel, images: list, **options: Any) -> list:
        count[0] += len(images)
        return read(self, images, **options)

    monkeypatch.setattr(ExportedModel, "read", counting)
    options = ("--resume-from", earlier / "jsonl", "--only-below", "0.9", "--min-confidence", "0.5")
    out = run(tiny_model, photos, tmp_path / "out", *options, "--num-shards", "5")
    before = {row["key"]: row for row in rows(earlier / "jsonl")}
    assert [row["key"] for row in rows(out)] == sorted(before)
    for row in rows(out):
        kept = before[row["key"]]["text"] == "777"
        assert (row["text"] == "777", row["model"] == "another") == (kept, kept)
        if kept:
            assert row == {**before[row["key"]], "accepted": True}
    carried = sum(row["text"] == "777" for row in before.values())
    assert count[0] == COUNT - carried
    figures = summary(out)
    assert figures["carried_over"] == carried
    assert figures["images"] == figures["rows"] + sum(figures["rejects"].values()) == COUNT + 1
    assert figures["accepted"] + figures["for_review"] == sum(figures["confidence_histogram"]) == COUNT


@pytest.mark.parametrize(("name", "written"), [("jsonl", "parquet"), ("csv", "jsonl"), ("parquet", "csv")])
def test_rows_of_every_format_are_carried_over_into_another(
    earlier: Path, photos: Path, tiny_model: Path, tmp_path: Path, name: str, written: str
) -> None:
    """All rows are carried over, so the output has the same bytes as the earlier one in that format."""
    before = earlier / name
    if name == "jsonl":  # whose rows were changed
        before = run(tiny_model, photos, tmp_path / "plain")
    options = ("--resume-from", before, "--only-below", "0", "--format", written)
    out = run(tiny_model, photos, tmp_path / "out", *options)
    plain = earlier / written if written != "jsonl" else run(tiny_model, photos, tmp_path / "again")
    assert summary(out)["carried_over"] == COUNT
    for path in sorted(plain.glob("predictions-*")):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_flat_file_can_be_resumed_and_new_images_are_read(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some").mkdir()
    for path in sorted(photos.iterdir())[:10]:
        (tmp_path / "some" / path.name).write_bytes(path.read_bytes())
    run(tiny_model, tmp_path / "some", tmp_path / "first.csv")
    for path in sorted(photos.iterdir())[10:]:
        (tmp_path / "some" / path.name).write_bytes(path.read_bytes())
    options = ("--resume-from", tmp_path / "first.csv", "--only-below", "0")
    run(tiny_model, tmp_path / "some", tmp_path / "second.csv", *options)
    figures = summary(tmp_path / "second.parts")
    assert (figures["carried_over"], figures["rows"]) == (10, COUNT)
    assert "carried over" in capsys.readouterr().out
    run(tiny_model, tmp_path / "some", tmp_path / "second.csv", *options)
    assert "already complete" in capsys.readouterr().out
    run(tiny_model, tmp_path / "some", tmp_path / "second.csv", status=2)  # asked for something else


def test_an_image_that_has_changed_is_read_again(earlier: Path, tiny_model: Path, tmp_path: Path) -> None:
    photos = drawn_photos.write(tmp_path / "photos", COUNT, "~1.png")
    before = run(tiny_model, photos, tmp_path / "before")
    same, touched, replaced = sorted(photos.glob("*.png"))[:3]
    os.utime(touched, (1e9, 1e9))
    replaced.write_bytes(same.read_bytes())
    options = ("--resume-from", before, "--only-below", "0")
    out = run(tiny_model, photos, tmp_path / "out", *options)
    assert summary(out)["carried_over"] == len(rows(before)) - 2
    texts = {row["key"]: row["text"] for row in rows(out)}
    assert texts[str(replaced)] == texts[str(same)]
    run(tiny_model, photos, tmp_path / "out", *options)  # complete already
    os.utime(same, (1e9, 1e9))
    run(tiny_model, photos, tmp_path / "out", *options, status=2)  # asks for something else now
    (before / IMAGES_FILE).unlink()  # as written by a version without it
    assert summary(run(tiny_model, photos, tmp_path / "all", *options))["carried_over"] == len(rows(before))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume-from", "EARLIER"), "together"),
        (("--only-below", "0.9"), "together"),
        (("--resume-from", "EARLIER", "--only-below", "1.5"), "between 0 and 1"),
        (("--resume-from", "EARLIER", "--only-below", "nan"), "between 0 and 1"),
        (("--resume-from", "NOWHERE", "--only-below", "0.9"), "no finished predictions"),
        (("--resume-from", "OUT", "--only-below", "0.9"), "give another --output"),
    ],
)
def test_what_cannot_be_resumed_is_one_line(
    earlier: Path,
    photos: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    places = {"EARLIER": earlier / "jsonl", "NOWHERE": tmp_path / "nowhere", "OUT": tmp_path / "out"}
    run(tiny_model, photos, tmp_path / "out", *(places.get(option, option) for option in options), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["cut", "not-json", "no-candidates", "unsorted", "summary"])
def test_damaged_earlier_predictions_are_one_line(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    before = run(tiny_model, photos, tmp_path / "before")
    shard = sorted(before.glob("predictions-*"))[1]
    lines = shard.read_text().splitlines(keepends=True)
    if damage == "cut":
        shard.write_text("".join(lines[:-1]))
    elif damage == "not-json":
        shard.write_text("".join([*lines[:-1], "{"]))
    elif damage == "no-candidates":
        shard.write_text("".join([*lines[:-1], json.dumps({"key": "a", "text": "", "confidence": 0.2})]))
    elif damage == "unsorted":
        shard.write_text("".join(reversed(lines)))
    else:
        (before / "_summary.json").write_text("[]")
    capsys.readouterr()
    run(tiny_model, photos, tmp_path / "out", "--resume-from", before, "--only-below", "0.9", status=2)
    error = capsys.readouterr().err
    assert "--resume-from" in error
    assert error.count("\n") == 1
