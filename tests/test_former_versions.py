"""Work folders and exported models of earlier versions still work.

The archive was written at commit c1d6cc2 (version 0.1): `synthesize --count 64 --seed 3 --split train` and `--count 16
--seed 4 --split validation`, `train --experiment smoke`, `evaluate --calibrate`, `export`, `evaluate --set
decode.beam_width=6` (evaluation now searches six wide by itself).
"""

import json
import tarfile
from pathlib import Path

import pytest

from beam_pipelines import draw, synthesize
from tests.conftest import Run
from trainer.config import experiments

ARCHIVE = Path(__file__).parent / "written_by_c1d6cc2.tar.gz"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for seed, count, split in (("3", "64", "train"), ("4", "16", "validation")):
        args = ["--count", count, "--seed", seed, "--split", split, "--output", f"{folder}/{split}"]
        assert synthesize.main(args) == 0
    assert draw.main(["--count", "3", "--output", f"{folder}/images"]) == 0
    return folder


@pytest.mark.slow
def test_a_work_folder_is_evaluated_and_trained_on(run: Run, written: Path) -> None:
    work = written / "run"
    before = json.loads((work / "evaluation.json").read_text())
    run("trainer.evaluate", "--workdir", work, "--data", written / "validation")
    after = json.loads((work / "evaluation.json").read_text())
    for name in ("examples", "sequence_accuracy", "digit_accuracy"):
        assert after[name] == pytest.approx(before[name]), name
    inputs = ["--data", written / "train", "--validation-data", written / "validation"]
    done = run("trainer.train", "--experiment", "smoke", *inputs, "--workdir", work, "--set", "train.steps=30")
    assert "ckpt-20" in done.stderr
    assert json.loads((work / "FINISHED").read_text())


@pytest.mark.slow
def test_an_exported_model_scores_and_predicts(run: Run, written: Path) -> None:
    model = written / "export"
    run("beam_pipelines.score", "--model", model, "--input", written / "images", "--output", written / "predictions")
    assert json.loads((written / "predictions/summary.json").read_text())["rows"] == 3
    images = sorted((written / "images/images").iterdir())
    assert run("trainer.predict", "--model", model, *images).stdout.count("confidence") == 3


def test_an_experiment_is_found_by_its_former_name() -> None:
    assert experiments.find("tilted") == experiments.find("released_stage2")
