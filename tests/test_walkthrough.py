"""End to end through the real commands, from drawn images to a report, on the smoke experiment."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Run
from trainer.inference.measuring.calibration import Calibration

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def walkthrough(run: Run, forked: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run each command of the README once in a folder; one of the image files is not an image.

    One command that writes with Beam, one that trains and one that does both start as a user starts them: the start of
    the others is tested in `tests/test_quiet.py`.
    """
    top = tmp_path_factory.mktemp("walkthrough")
    run("beam_pipelines.synthesize", "--count", 120, "--seed", 1, "--num-shards", 2, "--output", top / "synthetic")
    forked("beam_pipelines.draw", "--count", 30, "--seed", 2, "--output", top / "pictures")
    args = ["--format", "csv", "--input", top / "pictures", "--split", "validation", "--output", top / "prepared"]
    forked("beam_pipelines.prepare", *args, "--max-side", 512)  # as drawn: the pixels that scoring sees
    args = ["--experiment", "smoke", "--data", top / "synthetic", "--validation-data", top / "prepared"]
    run("trainer.train", *args, "--workdir", top / "run")
    evaluated = forked("trainer.evaluate", "--workdir", top / "run", "--data", top / "prepared", "--calibrate")
    for figure in ("numbers fully correct", "calibration error"):
        assert figure in evaluated.stdout
    forked("trainer.export", "--workdir", top / "run", "--output", top / "model")
    (top / "pictures" / "images" / "text.png").write_text("no image")
    Image.new("L", (30, 20)).save(top / "pictures" / "images" / "grey.tiff")
    scored = run("beam_pipelines.score", "--model", top / "model", "--input", top / "pictures", "--num-shards", 3,
                 "--precision", "float32", "--output", top / "predictions")  # fmt: skip
    assert "rejected, undecodable" in scored.stdout
    assert "WARNING" not in scored.stderr
    args = ["--workdir", top / "run", "--predictions", top / "predictions", "--output", top / "report.html"]
    forked("trainer.report", *args)
    forked("beam_pipelines.inspect", top / "synthetic")
    return top


def rows(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("predictions-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_rows_and_rejects_are_the_images_found(walkthrough: Path) -> None:
    summary = json.loads((walkthrough / "predictions" / "_summary.json").read_text())
    found = rows(walkthrough / "predictions")
    rejects = [json.loads(line) for line in (walkthrough / "predictions" / "_rejects.jsonl").read_text().splitlines()]
    assert summary["images"] == len(found) + len(rejects) == 32
    assert [reject["key"].rsplit("/", 1)[-1] for reject in rejects] == ["text.png"]
    assert len({row["key"] for row in found}) == 31
    assert sum(summary["confidence_histogram"]) == 31


def test_each_row_has_candidates_best_first(walkthrough: Path) -> None:
    for row in rows(walkthrough / "predictions"):
        probabilities = [c["probability"] for c in row["candidates"]]
        assert len(probabilities) == 3
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < row["confidence"] < 1
        assert all(1 <= len(c["text"]) <= 5 for c in row["candidates"])


def test_scoring_again_writes_the_same_bytes(walkthrough: Path, forked: Run, tmp_path: Path) -> None:
    args = [
        "--model",
        walkthrough / "model",
        "--input",
        walkthrough / "pictures",
        "--num-shards",
        3,
        "--precision",
        "float32",
        "--output",
        tmp_path / "again",
    ]
    forked("beam_pipelines.score", *args)
    for path in (walkthrough / "predictions").glob("*.jsonl"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert "nothing to do" in forked("beam_pipelines.score", *args).stdout


def test_the_exported_model_reads_as_evaluation_did(walkthrough: Path) -> None:
    answers = [json.loads(line) for line in (walkthrough / "run" / "answers.jsonl").read_text().splitlines()]
    scored = {row["key"].rsplit("/", 1)[-1]: row for row in rows(walkthrough / "predictions")}
    stored = json.loads((walkthrough / "run" / "calibration.json").read_text())
    calibrated = Calibration(stored["temperature"], stored["offset"])
    assert json.loads((walkthrough / "model" / "assets" / "model_info.json").read_text())["calibration"] == stored
    assert stored["examples"] == len(answers) == 30
    assert all(0 < answer["confidence"] < 1 for answer in answers)
    for answer in answers:
        row = scored[answer["key"].rsplit("/", 1)[-1]]
        assert row["candidates"][0]["text"] == answer["candidates"][0]
        assert row["candidates"][0]["probability"] == pytest.approx(answer["probabilities"][0], rel=1e-4)
        confidence = calibrated.confidence(np.array(answer["probabilities"][:1]))[0]
        assert row["confidence"] == pytest.approx(confidence, rel=1e-3)


def test_a_calibration_of_another_checkpoint_is_refused(walkthrough: Path, forked: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(walkthrough / "run", folder)
    stored = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps({**stored, "step": 7}))
    done = forked("trainer.export", "--workdir", folder, "--output", tmp_path / "model", status=2)
    assert "is for step 7, but the best checkpoint is from step" in done.stderr


def test_predict_prints_the_table_of_candidates(walkthrough: Path, forked: Run, tmp_path: Path) -> None:
    image = next((walkthrough / "pictures" / "images").glob("2-*.png"))
    drawn = tmp_path / "attention.png"
    lines = forked("trainer.predict", "--model", walkthrough / "model", image, "--draw", drawn).stdout.splitlines()
    assert drawn.is_file()
    assert lines[0] == str(image)
    assert lines[1].split() == ["No.", "result", "confidence"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]
    assert lines[2].endswith("%")
    assert not any("%" in line for line in lines[3:])  # calibration says nothing of the others


def test_predict_reads_the_others_and_names_what_it_cannot_read(walkthrough: Path, forked: Run, tmp_path: Path) -> None:
    image = next((walkthrough / "pictures" / "images").glob("2-*.png"))
    paths = [walkthrough / "report.html", image, tmp_path / "nowhere.png"]
    done = forked("trainer.predict", "--model", walkthrough / "model", "--format", "json", *paths, status=2)
    assert [json.loads(line)["key"] for line in done.stdout.splitlines()] == [str(image)]
    for message in ("report.html cannot be read as an image", "nowhere.png does not exist: check its path"):
        assert message in done.stderr


def test_the_report_holds_all_its_images(walkthrough: Path) -> None:
    page = (walkthrough / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 5 + 24
    assert "http" not in page
    for heading in ("Training", "Evaluation", "Incorrect", "Predictions"):
        assert f"<h2>{heading}</h2>" in page


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("trainer.train --data {top}/pictures --workdir {new}", "has no COMPLETED"),
        (
            "trainer.train --data {top}/nowhere --workdir {new}",
            "nowhere does not exist: create it with beam_pipelines.prepare",
        ),
        ("trainer.train --data {top}/prepared --workdir {new}", "no records in split 'train'"),
        ("trainer.train --experiment x --data {top}/synthetic --workdir {new}", "choose one of"),
        ("trainer.train --data {top}/synthetic --workdir {new} --set a.b=1", "unknown setting 'a.b'"),
        ("trainer.train --data {top}/synthetic", "--workdir"),
        ("trainer.evaluate --workdir {top}/nowhere --data {top}/prepared", "not a work folder"),
        ("trainer.evaluate --workdir {top}/run --data {top}/synthetic", "no records in split 'validation'"),
        ("trainer.export --workdir {top}/run --output {top}/pictures", "which trainer.export does not write"),
        (
            "trainer.predict --model {top}/prepared {top}/report.html",
            "it is not a complete model written by trainer.export",
        ),
        ("trainer.predict --model {top}/model {top}/report.html", "cannot be read as an image"),
        ("trainer.predict --model {top}/model {top}/nowhere.png", "nowhere.png does not exist: check its path"),
        ("trainer.report --workdir {top}/run --predictions {top}/run --output {new}", "no finished predictions"),
        (
            "beam_pipelines.score --model {top}/run --input {top}/pictures --output {new}",
            "run is a work folder: export its model with trainer.export",
        ),
        ("beam_pipelines.score --model {top}/model --input {top}/none --output {new}", "matches no images"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    walkthrough: Path, forked: Run, tmp_path: Path, command: str, message: str
) -> None:
    module, *args = command.format(top=walkthrough, new=tmp_path / "new").split()
    done = forked(module, *args, status=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "module",
    [f"trainer.{name}" for name in ("train", "search", "evaluate", "export", "predict", "report")]
    + [f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "draw")],
)
def test_help_shows_an_example(forked: Run, module: str) -> None:
    text = forked(module, "--help").stdout
    assert text.startswith(f"usage: python -m {module} ")
    assert f"example:\n  python -m {module} " in text
