"""A small world in which every command has run once."""

import os
import shutil
from pathlib import Path

import pytest

from tests.faults.sampling import sampled
from tests.faults.table import check_ready
from tests.forking import Commands


@pytest.hookimpl(tryfirst=True)  # before the marks are evaluated
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases that `make test` leaves to `make faults`."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    sample = sampled(ours)
    for item in ours:
        if item not in sample:
            item.add_marker(pytest.mark.exhaustive)


@pytest.fixture(scope="session")
def world(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, datasets, a trained work folder, a model, predictions and a report; tests must leave it as it is.

    FAULTS_WORLD is a folder that keeps it between runs of the tests, one for each process of pytest-xdist.
    """
    kept = os.environ.get("FAULTS_WORLD")
    top = Path(kept, os.environ.get("PYTEST_XDIST_WORKER", "")) if kept else tmp_path_factory.mktemp("world")
    build_world(commands, top)
    return top


def build_world(commands: Commands, top: Path) -> None:
    """Makes it, unless it is there."""
    if (top / "report.html").exists():
        return
    top.mkdir(parents=True, exist_ok=True)

    def ready(module: str, *args: object) -> None:
        check_ready(commands(module, *args, timeout=300))

    ready("beam_pipelines.draw", "--count", 12, "--seed", 2, "--output", top / "pictures")
    args = ["--count", 40, "--seed", 1, "--num-shards", 2, "--max-digits", 3, "--output", top / "synthetic"]
    ready("beam_pipelines.synthesize", *args)
    shutil.copy(next((top / "pictures" / "images").iterdir()), top / "picture.png")
    args = ["--format", "csv", "--input", top / "pictures", "--split", "validation", "--output", top / "prepared"]
    ready("beam_pipelines.prepare", *args)
    args = ["--experiment", "smoke", "--data", top / "synthetic", "--validation-data", top / "prepared"]
    args += ["--workdir", top / "run", "--set", "train.steps=4", "train.log_every=2", "train.checkpoint_every=2"]
    ready("trainer.train", *args, "train.evaluate_every=4", "tensorboard.scalars=false", "tensorboard.images=false")
    ready("trainer.evaluate", "--workdir", top / "run", "--data", top / "prepared", "--calibrate")
    ready("trainer.export", "--workdir", top / "run", "--output", top / "model")
    args = ["--model", top / "model", "--input", top / "pictures", "--num-shards", 2, "--output", top / "predictions"]
    ready("beam_pipelines.score", *args)
    args = ["--workdir", top / "run", "--predictions", top / "predictions", "--output", top / "report.html"]
    ready("trainer.report", *args)


@pytest.fixture
def place(world: Path, tmp_path: Path) -> Path:
    """An empty folder for the files of one case."""
    folder = tmp_path / "case"
    folder.mkdir()
    return folder


@pytest.fixture
def copied(world: Path, place: Path) -> Path:
    """A copy of the world to be damaged."""
    shutil.copytree(world, place / "world", symlinks=True)
    return place / "world"
