"""No command lets a library chatter, whatever the CPU: TensorFlow turns oneDNN on by itself where that is fast."""

from pathlib import Path

import pytest

from tests.conftest import CHATTER, Run

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


@pytest.mark.parametrize("one_dnn", ["0", "1"])
def test_no_command_chatters(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_dnn: str) -> None:
    """`run` looks at what each of them says."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", one_dnn)
    top = tmp_path
    run("beam_pipelines.synthesize", "--count", 40, "--seed", 1, "--num-shards", 2, "--output", top / "synthetic")
    run("beam_pipelines.draw", "--count", 8, "--seed", 2, "--output", top / "drawn")
    args = ["--format", "csv", "--input", top / "drawn", "--split", "validation", "--output", top / "prepared"]
    run("beam_pipelines.prepare", *args)
    run("beam_pipelines.inspect", top / "synthetic")
    steps = ["--experiment", "smoke", "--set", "train.steps=2", "--data", top / "synthetic"]
    validation = ["--validation-data", top / "prepared"]
    run("trainer.train", *steps, *validation, "--workdir", top / "run")
    run("trainer.evaluate", "--workdir", top / "run", "--data", top / "prepared", "--calibrate")
    run("trainer.export", "--workdir", top / "run", "--output", top / "model", "--half", "--tflite")
    score = ["--model", top / "model", "--input", top / "drawn"]
    run("beam_pipelines.score", *score, "--output", top / "predictions")
    processes = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    run("beam_pipelines.score", *score, *processes, "--output", top / "by-processes")
    image = next((top / "drawn" / "images").iterdir())
    run("trainer.predict", image, "--draw", top / "looks.png")
    args = ["--workdir", top / "run", "--predictions", top / "predictions", "--output", top / "report.html"]
    run("trainer.report", *args)
    run("trainer.search", *steps, *validation, "--grid", "optimizer.learning_rate=0.1", "--workdir", top / "search")
    assert not CHATTER.search(next((top / "search").glob("*/train.log")).read_text())
    for cluster in (["--ps", 1, "--workers", 1], ["--workers", 2]):
        run("trainer.cluster", *cluster, "--", *steps, *validation, "--workdir", top / f"cluster{len(cluster)}")
