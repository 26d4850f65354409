"""The report of a work folder: its sections, and what it does with empty, partial, huge and hostile input."""

import json
import re
import shutil
from pathlib import Path

import pytest

from beam_pipelines import synthesize
from tests.trainer.reporting.pages import Page, answers, evaluated, keys_of, page_of, trained
from trainer import report
from trainer.inference.measuring import notable
from trainer.reporting import cards


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 30 drawn numbers."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    assert synthesize.main(["--count", "30", "--seed", "3", "--num-shards", "1", "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of a work folder with everything in it."""
    folder = tmp_path_factory.mktemp("whole")
    keys, labels = keys_of(drawn)
    rows = answers(30, wrong=9, keys=keys, labels=labels)
    for row in rows:
        row["attention"] = [[[0, 255], [128, 0]]] * len(row["candidates"][0])
    trained(folder / "run", "train.steps=17", data=[str(drawn)], commit="c0ffee")
    evaluated(folder / "run", rows, data=[str(drawn)], date="2026-11-27T12:00:00+00:00")
    return page_of(folder / "report.html", "--workdir", folder / "run")


def test_the_contents_list_leads_to_each_section(whole: Page) -> None:
    sections = [found["id"] for found in whole.all("section")]
    assert sections == ["training", "evaluation", "incorrect", "uncertain", "data", "provenance"]
    links = [found["href"].removeprefix("#") for found in whole.all("a") if found["href"] != "#content"]
    assert links == sections


def test_it_asks_for_nothing_outside_and_fits_phones_and_dark_rooms(whole: Page) -> None:
    assert not re.search(r"https?:|url\((?!#)|@import", whole.html)
    for tag, found in whole.elements:
        for name in ("src", "href", "xlink:href"):
            assert found.get(name, "#").startswith(("#", "data:")), (tag, found)
    assert whole.all("meta", name="viewport")[0]["content"].startswith("width=device-width")
    assert "color-scheme: light dark" in whole.html


def test_ids_are_unique(whole: Page) -> None:
    ids = [found["id"] for _, found in whole.elements if "id" in found]
    assert len(ids) == len(set(ids))


def test_the_headline_has_intervals(whole: Page) -> None:
    assert "numbers fully correct 70.0 % 52.1 to 83.3 %" in whole.text  # 21 of 30, by Wilson's formula
    assert re.search(r"coverage at 98 % \d+\.\d % \d+\.\d to \d+\.\d %", whole.text)
    assert re.search(r"digits correct \d+\.\d % \d+\.\d to \d+\.\d %", whole.text)


def test_charts_tell_the_values_of_their_points(whole: Page) -> None:
    by_name = {found["aria-label"]: json.loads(found["data-points"]) for found in whole.all("svg", role="img")
               if "data-points" in found}  # fmt: skip
    assert list(by_name) == ["Training loss", "Validation", "Accuracy by coverage", "Reliability"]
    assert by_name["Training loss"][0][2] == "step 10: loss 0.2000"
    assert [point[2] for point in by_name["Validation"]][:2] == [
        "step 10: numbers correct 25.0 %",
        "step 20: numbers correct 50.0 %",
    ]
    (first, second) = by_name["Validation"][:2]
    assert 0 < first[0] < second[0] < 380  # a later step is further right, and a better one higher
    assert 0 < second[1] < first[1] < 250
    assert by_name["Accuracy by coverage"][-1][2].endswith("100.0 % of the images, 70.00 % correct")


def test_thresholds_and_groups_are_listed(whole: Page) -> None:
    assert "Thresholds of the calibrated confidence" in whole.text
    for title in ("By length", "By source", "By height of the image", "By sharpness", "By confidence"):
        assert title in whole.text
    assert "under 24 pixels 4 0.0 % 0.0 to 49.0" in whole.text  # heights of 20 to 23: the first four, all wrong
    assert "least sharp quarter 8 0.0 %" in whole.text


def test_mistakes_have_image_box_candidates_attention_and_calibrated_confidence(whole: Page) -> None:
    cards = whole.all("li", class_="card")
    assert len([card for card in cards if "wrong" in card["class"].split()]) == 9 * 3
    assert len(whole.all("polygon", class_="label")) == 9 + 9 + 30
    assert len(whole.all("ol", class_="looks")) == 9 + 9 + 30
    worst = [float(card["data-confidence"]) for card in cards if "data-confidence" in card][:9]
    assert worst == sorted(worst, reverse=True)
    rows = answers(30, wrong=9, keys=None, labels=None)
    assert worst[0] > max(row["probabilities"][0] for row in rows[:9])  # not the raw probability
    assert "no image" not in whole.text
    assert {"text", "length", "low", "high"} <= {found.get("name") for found in whole.all("input")}


def test_each_image_is_in_the_page_once(whole: Page) -> None:
    images = [found["id"] for found in whole.all("image") if "id" in found]
    assert set(whole.images_used) == set(images)
    assert len(whole.images_used) > 2 * len(whole.all("ol", class_="looks"))  # and once more for each character


def test_long_numbers_have_the_attention_of_their_first_characters(drawn: Path, tmp_path: Path) -> None:
    keys, _ = keys_of(drawn)
    rows = answers(30, wrong=1, keys=keys, labels=["1" * 40] * 30)
    for row in rows:
        row["attention"] = [[[0, 255], [128, 0]]] * 40
    trained(tmp_path / "run", data=[str(drawn)])
    evaluated(tmp_path / "run", rows, data=[str(drawn)])
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    assert len(page.images_used) == 32 * (1 + cards.MOST_LOOKS)
    assert page.text.count("and 28 more characters") == 32


def test_the_data_is_described_with_samples(whole: Page) -> None:
    for text in (
        "Images by split",
        "Images by length of the label",
        "Characters in 30 labels",
        "No image was rejected",
    ):
        assert text in whole.text
    images = whole.all("img")
    assert [found["alt"].endswith("distorted") for found in images] == [False, True] * 8


def test_the_provenance_is_told(whole: Page) -> None:
    for text in ("train it", "evaluate it", "c0ffee", "2026-11-27T12:00:00+00:00", "0badcafe", "cores"):
        assert text in whole.text
    assert "Setting Experiment This run train.steps 20 17" in whole.text


def test_a_work_folder_with_nothing_but_its_config_has_placeholders(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    for path in (tmp_path / "run").iterdir():
        if path.name != "config.json":
            path.unlink()
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    for text in ("No metrics were logged yet", "Not evaluated yet", "does not say which datasets"):
        assert text in page.text


def test_an_evaluation_without_answers_or_of_no_images_is_shown(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    evaluated(tmp_path / "run", answers(8, wrong=2), data=["gone"])
    (tmp_path / "run" / "answers.jsonl").unlink()
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    assert "numbers fully correct 75.0 %" in page.text
    assert "The answers for each image are missing or empty" in page.text
    evaluated(tmp_path / "run", [], data=["gone"])
    assert "images 0" in page_of(tmp_path / "report.html", "--workdir", tmp_path / "run").text


def test_images_that_are_gone_have_placeholders(drawn: Path, tmp_path: Path) -> None:
    keys, labels = keys_of(drawn)
    shutil.copytree(drawn, tmp_path / "data")
    trained(tmp_path / "run", data=[str(tmp_path / "data")])
    evaluated(tmp_path / "run", answers(30, wrong=2, keys=keys, labels=labels), data=[str(tmp_path / "data")])
    shutil.rmtree(tmp_path / "data")
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    assert len(page.all("div", class_="missing")) == 2 + 2 + 30
    assert "It cannot be read now" in page.text
    assert "No training image can be read now" in page.text


def test_answers_of_an_older_version_are_shown(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    rows = answers(8, wrong=2)
    evaluated(tmp_path / "run", rows, data=["gone"])
    kept = ("key", "label", "candidates", "probabilities")
    lines = [json.dumps({name: row[name] for name in kept}) + "\n" for row in rows]
    (tmp_path / "run" / "answers.jsonl").write_text("".join(lines))
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for name in ("made", "datasets", "seen"):
        del summary[name]
    (tmp_path / "run" / "evaluation.json").write_text(json.dumps(summary))
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    assert "The confidence is not calibrated" in page.text
    assert "By sharpness" not in page.text


def test_ten_thousand_mistakes_make_a_page_that_opens(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    evaluated(tmp_path / "run", answers(12_000, wrong=10_000), data=["gone"])
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    assert len(page.all("li", class_="card")) == 3 * notable.SHOWN
    left_out = 10_000 - notable.SHOWN
    assert f"{notable.SHOWN} of 10,000 are shown; the other {left_out:,} are in answers.jsonl" in page.text
    assert len(page.html) < 1_000_000


def test_relative_paths_are_found_from_another_folder(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, labels = keys_of(drawn)
    shutil.copytree(drawn, tmp_path / "there" / "data")
    there = str(tmp_path / "there")
    trained(tmp_path / "there" / "run", data=["data"], folder=there)
    rows = answers(30, wrong=4, keys=keys, labels=labels)
    evaluated(tmp_path / "there" / "run", rows, data=["data"], folder=there)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    page = page_of(tmp_path / "report.html", "--workdir", "../there/run")
    assert not page.all("div", class_="missing")
    assert len(page.all("img")) == 16


def test_texts_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}$\\frac"
    folder = tmp_path / "a <b>bold<b> run"
    trained(folder, data=[hostile], command=hostile)
    rows = answers(6, wrong=3)
    for row in rows:
        row |= {"key": hostile, "source": hostile, "label": hostile, "candidates": [hostile[::-1], hostile]}
    evaluated(folder, rows, data=[hostile])
    page = page_of(tmp_path / "report.html", "--workdir", folder)
    assert len(page.all("script")) == 1
    assert not page.all("b", class_="bold")
    assert not [found for _, found in page.elements if any(name.startswith("on") for name in found)]
    assert not [found for found in page.all("img") if found.get("src") == "x"]
    assert "alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text


def test_confusions_are_ranked_by_cost_also_of_38_characters(tmp_path: Path) -> None:
    alphabet = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    trained(tmp_path / "run", f"model.alphabet={alphabet}", "model.max_length=8")
    rows = answers(len(alphabet) + 3, wrong=0)
    for i, char in enumerate(alphabet):
        other = alphabet[(i + 1) % len(alphabet)]
        rows[i] |= {"label": f"{char}{char}", "candidates": [f"{other}{char}"]}
    for row in rows[-3:]:
        row |= {"label": "8Z", "candidates": ["8"]}  # Z is left out
    evaluated(tmp_path / "run", rows, data=["gone"])
    page = page_of(tmp_path / "report.html", "--workdir", tmp_path / "run")
    first = page.text[page.text.index("By cost") :]
    # Z is in these three labels and twice in one other.
    assert re.search(r"Cost Z left out 3 60\.0 % 3\.0 ", first)
    (grid,) = page.all("table", class_="grid")
    assert grid
    columns = re.search(r"Label by row, read by column \u2013((?: \S)+) -", page.text)
    assert columns
    assert columns[1].replace(" ", "")[:38] == alphabet


def test_nothing_to_report_on_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--output", str(tmp_path / "report.html")]) == 2
    assert "nothing to report on: give --workdir, --predictions or --compare" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
