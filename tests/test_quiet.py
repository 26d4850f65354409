"""No command lets a library chatter, whatever the CPU: TensorFlow turns oneDNN on by itself where that is fast.

The other tests run the commands in the state of oneDNN that this machine defaults to, and check the output with
`assert_no_chatter`. These tests run the commands that start TensorFlow in the other state. Only a synchronous cluster
that trains to the end runs nowhere else.
"""

from pathlib import Path

import pytest

from beam_pipelines import draw, prepare
from tests.conftest import CHATTER, Run, assert_no_chatter
from tests.other_onednn import other_onednn

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("line", [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "[worker 0] WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795654354.250498    8601 port.cc:153] oneDNN custom operations are on. You may see",
    "[evaluator] 00:53:44 From checkpoint.py:90: update_checkpoint_state is deprecated and will be removed",
    "/site-packages/x.py:3: UserWarning: something",
])  # fmt: skip
def test_chatter_is_recognised(line: str) -> None:
    assert CHATTER.search(f"00:47:32 smoke, single: 2,808 parameters, newly initialised\n{line}\n")


@pytest.fixture
def other_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", other_onednn())


STEPS = ("--experiment", "smoke", "--set", "train.steps=2", "data.holdout=0.2")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    assert draw.main(["--count", "2", "--output", str(tmp_path / "drawn")]) == 0
    return tmp_path / "drawn"


@pytest.mark.usefixtures("other_state")
def test_no_command_from_training_to_the_report_chatters(
    run: Run, tiny_dataset: Path, drawn: Path, tmp_path: Path
) -> None:
    args = ["--format", "csv", "--split", "validation", "--input", str(drawn), "--output", str(tmp_path / "prepared")]
    assert prepare.main(args) == 0
    train = [*STEPS, "--data", tiny_dataset, "--workdir", tmp_path / "search"]
    run("trainer.search", *train, "--grid", "optimizer.learning_rate=0.1")
    (log,) = (tmp_path / "search").glob("*/train.log")  # of `trainer.train`, in a process of its own
    assert_no_chatter(log.read_text(), "trainer.train")
    workdir = ("--workdir", log.parent)
    run("trainer.evaluate", *workdir, "--data", tmp_path / "prepared", "--calibrate")
    run("trainer.export", *workdir, "--output", tmp_path / "model", "--half", "--tflite")
    run("beam_pipelines.score", "--model", tmp_path / "model", "--input", drawn, "--output", tmp_path / "predictions")
    run("trainer.report", *workdir, "--predictions", tmp_path / "predictions", "--output", tmp_path / "report.html")


@pytest.mark.usefixtures("other_state")
def test_no_command_that_reads_images_chatters(run: Run, tiny_model: Path, drawn: Path, tmp_path: Path) -> None:
    processes = ["--direct_running_mode=multi_processing", "--direct_num_workers=2", "--num-shards", 2]
    run("beam_pipelines.score", "--model", tiny_model, "--input", drawn, "--output", tmp_path / "out", *processes)
    run("trainer.predict", next((drawn / "images").iterdir()), "--draw", tmp_path / "attention.png")


@pytest.mark.usefixtures("other_state")
@pytest.mark.parametrize(
    "tasks", [("--parameter-servers", 1, "--workers", 1), ("--workers", 2)], ids=["parameter server", "workers"]
)
def test_no_task_of_a_cluster_chatters(run: Run, tiny_dataset: Path, tmp_path: Path, tasks: tuple) -> None:
    run("trainer.cluster", *tasks, "--", *STEPS, "--data", tiny_dataset, "--workdir", tmp_path / "run")
