"""What `trainer.evaluate` stores about each image: facts that explain mistakes, and where the model looked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from trainer import evaluate
from trainer.inference.evaluating import image_facts
from trainer.inference.measuring import notable

SHOWN = 5


@pytest.fixture(scope="module")
def workdir(tiny_model: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated work folder."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_model.parent / "run", folder)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(notable, "SHOWN", SHOWN)
        assert evaluate.main(["--workdir", str(folder), "--data", str(tiny_dataset), "--split", "train"]) == 0
    return folder


def test_each_answer_has_the_facts_of_its_image(workdir: Path) -> None:
    rows = [json.loads(line) for line in (workdir / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 80
    for row in rows:
        left, top, right, bottom = row["box"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert row["sharpness"] > 0
        assert min(row["width"], row["height"]) > 8
    assert len({(row["width"], row["height"]) for row in rows}) > 20


def test_answers_that_a_report_shows_have_attention(workdir: Path) -> None:
    rows = [json.loads(line) for line in (workdir / "answers.jsonl").read_text().splitlines()]
    looked = [row for row in rows if "attention" in row]
    assert SHOWN <= len(looked) <= 3 * SHOWN
    for row in looked:
        weights = np.array(row["attention"])
        assert len(weights) == len(row["candidates"][0])
        assert (weights.max(axis=(1, 2)) == 255).all()
        assert weights.min() >= 0


def test_the_evaluation_says_how_it_was_made(workdir: Path, tiny_dataset: Path) -> None:
    summary = json.loads((workdir / "evaluation.json").read_text())
    assert summary["made"]["seconds"] > 0
    assert summary["made"]["command"]
    (dataset,) = summary["datasets"]
    assert dataset["folder"] == str(tiny_dataset)
    assert len(dataset["fingerprint"]) == 8


def test_blurred_images_are_less_sharp() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    images = [noise.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 3)]
    found = image_facts.sharpness(np.stack([np.asarray(image) for image in images]))
    assert found[0] > 5 * found[1] > 25 * found[2]
    flat = np.full((1, 8, 8, 3), 90, np.uint8)
    assert image_facts.sharpness(flat)[0] == pytest.approx(0, abs=1e-3)
