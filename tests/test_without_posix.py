"""The commands on Windows, as far as `tests.without_posix` can show: each runs, or is one line that says why not."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def as_on_windows(run: Run) -> Run:
    return partial(run, "tests.without_posix")


def test_a_number_is_read(as_on_windows: Run, tmp_path: Path):
    as_on_windows("beam_pipelines.draw", "--count", 1, "--seed", 5, "--output", tmp_path)
    image = next((tmp_path / "images").iterdir())
    done = as_on_windows("trainer.predict", image, "--model", "released-fast", "--format", "json")
    assert json.loads(done.stdout)["text"]


def test_from_images_to_predictions(as_on_windows: Run, run: Run, tmp_path: Path):
    run("beam_pipelines.draw", "--count", 12, "--seed", 5, "--output", tmp_path / "images")
    as_on_windows(
        *("beam_pipelines.prepare", "--format", "csv", "--input", tmp_path / "images"),
        *("--split", "train:0.5,validation:0.5", "--output", tmp_path / "data"),
    )
    as_on_windows(
        *("trainer.train", "--experiment", "smoke", "--data", tmp_path / "data", "--workdir", tmp_path / "run"),
        *("--set", "train.steps=2"),
    )
    for _ in range(2):  # the second time it replaces a model
        as_on_windows("trainer.export", "--workdir", tmp_path / "run", "--output", tmp_path / "model")
    as_on_windows(
        *("beam_pipelines.score", "--model", tmp_path / "model", "--input", tmp_path / "images"),
        *("--output", tmp_path / "predictions"),
    )
    assert json.loads((tmp_path / "predictions" / "_summary.json").read_text())["rows"] == 12


def test_what_needs_another_system_says_so(as_on_windows: Run, tmp_path: Path):
    cluster = as_on_windows("trainer.cluster", "--", "--data", "data", "--workdir", "run", status=2)
    assert "error: a local cluster needs Linux or macOS" in cluster.stderr
    workers = as_on_windows(
        *("beam_pipelines.synthesize", "--count", 4, "--output", tmp_path / "data"),
        *("--direct_running_mode", "multi_processing"),
        status=2,
    )
    assert "error: --direct_running_mode multi_processing needs Linux or macOS" in workers.stderr
