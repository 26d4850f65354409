"""Reports on predictions, on a search, and on runs that are compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from beam_pipelines.scoring.predictions import WRITERS
from beam_pipelines.sharding.counted_file import CountedFile
from tests.trainer.reporting.pages import answers, evaluated, page_of, trained
from trainer import report


def scored(folder: Path, rows: list[dict[str, Any]], *, ending: str = "jsonl", **more: object) -> None:
    """Write predictions as beam_pipelines.score does."""
    folder.mkdir(parents=True)
    name = f"predictions-00000-of-00001.{ending}"
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    accepted = sum(row["accepted"] for row in rows)
    summary = {
        "images": len(rows) + 1, "rows": len(rows), "accepted": accepted, "for_review": len(rows) - accepted,
        "rejects": {"undecodable": 1}, "other_files": 2, "accuracy": None, "lengths": {"2": len(rows)},
        "confidence_histogram": [0] * 19 + [len(rows)], "shards": [{"name": name, "rows": len(rows)}] if rows else [],
        "seconds": 3.5, "images_per_second": 7.1, "request": {"min_confidence": 0.8}, "model": {"calibration": {}},
        **more,
    }  # fmt: skip
    (folder / "_summary.json").write_text(json.dumps(summary))
    reject = {"key": "photos/text.png", "reason": "undecodable", "detail": "not an image"}
    (folder / "_rejects.jsonl").write_text(json.dumps(reject) + "\n")
    (folder / "_COMPLETED").touch()


def row(key: object, **more: object) -> dict[str, Any]:
    candidates = [{"text": "42", "probability": 0.6}, {"text": "47", "probability": 0.1}]
    return {"key": str(key), "text": "42", "candidates": candidates, "confidence": 0.9, "accepted": True,
            "found_as": "file", **more}  # fmt: skip


def test_predictions_are_shown_without_a_work_folder(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "red").save(tmp_path / "photo.png")
    number = {"text": "42", "confidence": 0.9, "box": [10.0, 10.0, 60.0, 10.0, 60.0, 40.0, 10.0, 40.0]}
    photo = row(tmp_path / "photo.png", numbers=[number], box=number["box"])
    scored(tmp_path / "out", [photo, row("gone.png", accepted=False, confidence=0.3)])
    page = page_of(tmp_path / "report.html", "--predictions", tmp_path / "out")
    assert [found["id"] for found in page.all("section")] == ["predictions", "provenance"]
    assert "accepted 50.0 % 1, and 1 for review" in page.text
    assert "accepted from confidence 80.0 %" in page.text
    assert "photos/text.png: undecodable not an image" in page.text
    assert page.headings[1:] == ["Predictions", "For review", "Accepted", "Provenance"]
    (frame,) = page.all("polygon", class_="found")
    assert frame["points"] == "10.0,10.0 60.0,10.0 60.0,40.0 10.0,40.0"
    (image,) = page.all("svg", class_="image")
    assert image["viewbox"] == "0 0 200 100"  # of the original
    assert len(page.all("div", class_="missing")) == 1


def test_keys_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    Image.new("RGB", (20, 10), "red").save(tmp_path / "there" / "photo.png")
    scored(tmp_path / "out", [row("photo.png")], made={"folder": str(tmp_path / "there"), "command": "score it"})
    monkeypatch.chdir(tmp_path)
    page = page_of(tmp_path / "report.html", "--predictions", "out")
    assert not page.all("div", class_="missing")
    assert "score it" in page.text


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_in_other_formats_have_the_same_images_and_boxes(tmp_path: Path, ending: str) -> None:
    Image.new("RGB", (200, 100), "red").save(tmp_path / "photo.png")
    number = {"text": "42", "confidence": 0.9, "box": [10.0, 10.0, 60.0, 10.0, 60.0, 40.0, 10.0, 40.0]}
    rows = [
        row(tmp_path / "photo.png", numbers=[number], box=number["box"]),
        row(tmp_path / "photo.png", accepted=False, label="47"),
    ]
    pages = []
    for name in ("jsonl", ending):
        scored(tmp_path / name, rows, ending=name)
        with (tmp_path / name / f"predictions-00000-of-00001.{name}").open("wb") as file:
            writer = WRITERS[name](CountedFile(file))
            writer.write(rows)
            writer.close()
        pages.append(page_of(tmp_path / f"{name}.html", "--predictions", tmp_path / name))
    shown = [page.text[page.text.index("For review") : page.text.rindex("Provenance")] for page in pages]
    assert shown[1] == shown[0]
    assert len(pages[1].all("svg", class_="image")) == 2
    for found in pages:
        assert len(found.all("polygon", class_="found")) == 1
        assert "label 47 read 42" in found.text
        assert found.text.count("Where the model looked is not stored") == 1  # for the row without boxes


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_damaged_rows_in_other_formats_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    scored(tmp_path / "out", [row("a.png")], ending=ending)  # the content is JSON
    assert report.main(["--predictions", str(tmp_path / "out"), "--output", str(tmp_path / "b.html")]) == 2
    said = capsys.readouterr().err
    assert f"predictions-00000-of-00001.{ending} " in said
    assert "run beam_pipelines.score again" in said
    assert said.count("\n") == 1


def test_no_rows_and_many_rows(tmp_path: Path) -> None:
    scored(tmp_path / "empty", [])
    assert "No image has a row" in page_of(tmp_path / "a.html", "--predictions", tmp_path / "empty").text
    scored(tmp_path / "many", [row(f"{i}.png") for i in range(5_000)])
    page = page_of(tmp_path / "c.html", "--predictions", tmp_path / "many")
    assert len(page.all("li", class_="card")) == 24
    assert "24 of 5,000 are shown" in page.text


def test_a_search_shows_its_ranking(tmp_path: Path) -> None:
    names = ["rate=0.1", "rate=0.2", "rate=0.3"]
    for name in names[:2]:
        trained(tmp_path / "search" / name)
    measured = {"sequence_accuracy": 0.5, "interval_95": [0.35, 0.65], "step": 20, "seconds": 61.0}
    rows = [
        {"name": names[0], "settings": ["rate=0.1"], "status": "done", **measured},
        {"name": names[1], "settings": ["rate=0.2"], "status": "failed", "error": "<b>exit status 1</b>"},
        {"name": names[2], "settings": ["rate=0.3"], "status": "waiting"},
    ]
    (tmp_path / "search" / "search.json").write_text(json.dumps(rows))
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "search")
    assert "1 rate=0.1 50.00 % 35.0 to 65.0 20 0:01:01 done" in page.text
    assert "failed: <b>exit status 1</b>" in page.text
    assert "best run 50.0 % 35.0 to 65.0 %" in page.text
    assert [found["id"] for found in page.all("section")] == ["search", "provenance"]


@pytest.mark.parametrize("content", ["", "{", "7", '[{"name": 1}]', '[{"name": "a", "settings": []}]'])
def test_a_damaged_ranking_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (tmp_path / "search.json").write_text(content)
    assert report.main(["--workdir", str(tmp_path), "--output", str(tmp_path / "report.html")]) == 2
    error = capsys.readouterr().err
    assert "search.json is damaged" in error
    assert error.count("\n") == 1


def test_runs_are_compared_on_the_same_images(tmp_path: Path) -> None:
    for name, wrong, settings in (("one", 9, []), ("two", 1, ["optimizer.learning_rate=0.5"]), ("three", 1, [])):
        trained(tmp_path / name, *settings)
        evaluated(tmp_path / name, answers(40, wrong=wrong), data=["gone"])
    others = ["--compare", tmp_path / "two", tmp_path / "three"]
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "one", *others)
    assert "Setting one two three" in page.text
    assert "optimizer.learning_rate 0.003 0.5 0.003" in page.text
    assert "Of 40 images that both read, 0 are correct only in one and 8 only in two" in page.text
    assert "a probability of 0.00781 (exact McNemar test)" in page.text  # 2 / 2 ** 8
    assert "numbers fully correct 77.5 % 62.5 to 87.7 % 97.5 %" in page.text
    page = page_of(tmp_path / "only.html", *others)
    assert [found["id"] for found in page.all("section")] == ["comparison", "provenance"]


def test_runs_that_were_not_evaluated_or_on_other_images_are_said_to_be(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    trained(tmp_path / "two")
    compare = ["--compare", tmp_path / "one", tmp_path / "two"]
    assert "not evaluated yet" in page_of(tmp_path / "a.html", *compare).text
    for name, data in (("one", "a"), ("two", "b")):
        evaluated(tmp_path / name, answers(4, wrong=1, keys=[f"{data}{i}" for i in range(4)]), data=[data], split=data)
    page = page_of(tmp_path / "b.html", *compare)
    assert "The evaluations used different images" in page.text
    assert "They have no evaluated images in common" in page.text


@pytest.mark.parametrize("others", [["one"], ["one", "one"], ["one", "nowhere"], ["one", "finder"]])
def test_runs_that_cannot_be_compared_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], others: list[str]
) -> None:
    trained(tmp_path / "one")
    (tmp_path / "finder").mkdir()
    from trainer.config import experiments

    (tmp_path / "finder" / "config.json").write_text(experiments.find("finder").to_json())
    places = [str(tmp_path / name) for name in others]
    assert report.main(["--compare", *places, "--output", str(tmp_path / "report.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--compare" in error or "nowhere is not a work folder" in error


def test_a_finder_has_galleries_with_boxes(tmp_path: Path) -> None:
    from trainer.config import experiments

    (tmp_path / "config.json").write_text(experiments.find("finder").to_json())
    group = {"photos": 2, "best_accuracy": 0.5, "interval_95": [0.1, 0.9]}
    read = {"photos": 2, "best_accuracy": 0.5, "interval_95": [0.1, 0.9], "text_f1": 0.4, "text_precision": 0.3,
            "text_recall": 0.2, "empty": 1, "empty_answered": 0.0, "empty_interval_95": [0.0, 0.8],
            "by_area": {"1 to 3 %": group}, "by_layout": {}, "by_angle": {}}  # fmt: skip
    found = {"f1": 0.6, "precision": 0.7, "recall": 0.8, "threshold": 0.3, "best_recall": 0.9}
    summary = {"finding": found, "reading": read, "data": ["gone"], "split": "validation", "step": 3}
    (tmp_path / "evaluation.json").write_text(json.dumps(summary))
    box = [1.0, 1.0, 9.0, 1.0, 9.0, 5.0, 1.0, 5.0]
    rows = [
        {"key": "a", "labels": ["42"], "right": False, "numbers": [{"text": "47", "confidence": 0.9, "box": box}]},
        {"key": "b", "labels": [], "right": False, "numbers": []},
        {"key": "c", "labels": ["8"], "right": True, "numbers": [{"text": "8", "confidence": 0.5, "box": box}]},
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path)
    assert "best number right 50.0 % 10.0 to 90.0 %" in page.text
    assert "By area of the number" in page.text
    cards = [found["data-text"] for found in page.all("li", class_="card")]
    assert cards == ["a 42 47", "c 8 8", "a 42 47"]  # one mistake; then both answers, the least confident first
