"""The report of a finder: photos with the boxes found, and where the recogniser looked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import synthesize
from tests.trainer.reporting.pages import Page, evaluated_photos, keys_of, page_of, trained
from trainer.inference.evaluating import notable_photos

BOX = [8.0, 4.0, 40.0, 4.0, 40.0, 28.0, 8.0, 28.0]
WHOLE = [0.0, 0.0, 60.0, 0.0, 60.0, 30.0, 0.0, 30.0]

Row = dict[str, Any]


def number(text: str, confidence: float, **more: object) -> Row:
    return {"text": text, "candidates": [text, text + "1"], "confidence": confidence, "box": BOX, **more}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of a finder on six images."""
    folder = tmp_path_factory.mktemp("photos")
    args = ["--count", "6", "--seed", "3", "--num-shards", "1", "--output", str(folder / "data")]
    assert synthesize.main(args) == 0
    keys, _ = keys_of(folder / "data")
    looks = {"cut": BOX, "attention": [[[0, 255], [128, 0]]] * 2}
    answers: list[tuple[list[str], bool, list[Row]]] = [
        (["42"], False, [number("17", 0.9, **looks), number("5", 0.4), number("8", 0.05)]),
        (["42"], False, [{"text": "13", "confidence": 0.7, "box": BOX}]),  # of an older version
        (["42"], True, [number("42", 0.6, **looks)]),
        ([], False, [number("6", 0.01, box=WHOLE)]),
        ([], False, [number("3", 0.5, **looks)]),
        (["42"], False, []),
    ]
    rows = [
        {
            "key": key,
            "labels": labels,
            "right": right,
            "numbers": numbers,
            "size": [60, 30],
            "truth": [BOX][: len(labels)],
        }
        for key, (labels, right, numbers) in zip(keys, answers, strict=True)
    ]
    trained(folder / "run", experiment="finder", data=[str(folder / "data")])
    evaluated_photos(folder / "run", rows, data=[str(folder / "data")])
    return page_of(folder / "report.html", "--workdir", folder / "run")


def test_a_card_has_the_candidates_of_the_best_number_and_the_other_numbers(page: Page) -> None:
    worst = page.text[page.text.index("Worst mistakes") : page.text.index("Most uncertain")]
    assert "label 42 read 17 90.0 % then 171" in worst
    assert "also 5" in worst
    assert "also 5, 8" not in worst  # it is not confident enough to be an answer
    assert re.findall(r"read (\w+)", worst) == ["17", "13", "3", "no"]
    assert worst.count("label no number") == 1  # the empty photo without an answer is right


def test_a_card_has_where_the_recogniser_looked_in_what_it_saw(page: Page) -> None:
    assert len(page.all("ol", class_="looks")) == 2 + 3  # of mistakes and of the least certain
    images = {found["id"]: found for found in page.all("image") if "id" in found}
    cuts = {key for key, found in images.items() if (found["width"], found["height"]) == ("32", "24")}  # of BOX
    assert len(cuts) == 3
    assert len(images) == 5 + 3  # all photos but the empty one without an answer
    assert set(page.images_used) == set(images)
    assert sum(used in cuts for used in page.images_used) == 2 + 1 + 2 + 2 + 1  # once for each character


def test_boxes_are_those_of_labels_and_answers(page: Page) -> None:
    assert len(page.all("polygon", class_="label")) == 3 + 3
    assert len(page.all("polygon", class_="found")) == 4 + 5


def test_no_photos_and_ten_thousand_are_shown(tmp_path: Path) -> None:
    trained(tmp_path / "run", experiment="finder")
    evaluated_photos(tmp_path / "run", [], data=["gone"])
    assert "Worst mistakes" not in page_of(tmp_path / "a.html", "--workdir", tmp_path / "run").text
    numbers = [number("7" * 200, 0.9), *(number(str(i), 0.3) for i in range(5))]
    rows = [
        {"key": str(i), "labels": ["1"], "right": False, "numbers": numbers, "size": [60, 30]} for i in range(10_000)
    ]
    evaluated_photos(tmp_path / "run", rows, data=["gone"])
    page = page_of(tmp_path / "b.html", "--workdir", tmp_path / "run")
    assert len(page.all("li", class_="card")) == 2 * notable_photos.SHOWN
    assert f"{notable_photos.SHOWN} of 10,000 are shown" in page.text
    assert len(page.html) < 1_000_000


def test_damaged_answers_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trainer import report

    trained(tmp_path / "run", experiment="finder")
    rows: list[Row] = [{"key": "a", "labels": ["1"], "right": False, "numbers": [{"text": "2"}]}]
    evaluated_photos(tmp_path / "run", rows, data=["gone"])
    assert report.main(["--workdir", str(tmp_path / "run"), "--output", str(tmp_path / "a.html")]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "answers.jsonl").read_text()) == rows[0]
