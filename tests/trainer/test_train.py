"""The training command in real processes: resuming, crashes, signals, damaged checkpoints."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import Run
from tests.forking import Forked
from trainer.workdir import checkpoint, files

pytestmark = pytest.mark.slow


def settings(steps: int) -> list[str]:
    """Return settings for the smoke experiment; a cosine schedule with another end would be another experiment."""
    fixed = ["train.checkpoint_every=5", "data.batch_size=4", "tensorboard.images=false"]
    return ["--set", f"train.steps={steps}", *fixed]


def weights(folder: Path) -> dict[str, np.ndarray]:
    path = checkpoint.listed(str(folder / "checkpoints"))[0]  # which finds it without a state file, too
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name}


@pytest.fixture(scope="module")
def uninterrupted(tiny_dataset: Path, forked: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("through") / "run"
    forked("trainer.train", "--experiment", "smoke", "--data", tiny_dataset, "--workdir", folder, *settings(20))
    return folder


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def start(data: Path, folder: Path, steps: int) -> Forked:
    args = ["--experiment", "smoke", "--data", str(data), "--workdir", str(folder), *settings(steps)]
    return Forked("trainer.train", args, dict(os.environ))


def wait_for(pattern: str, folder: Path, process: Forked) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_killed_at_any_moment_ends_with_the_same_weights(
    tiny_dataset: Path, uninterrupted: Path, forked: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(tiny_dataset, folder, 20)
    wait_for("checkpoints/checkpoint", folder, process)  # which lists them, and is written last
    process.kill()
    done = forked("trainer.train", "--experiment", "smoke", "--data", tiny_dataset, "--workdir", folder, *settings(20))
    assert "from " in done.stderr
    assert_same_weights(folder, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_stop_saves_and_says_how_to_resume(
    tiny_dataset: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    process = start(tiny_dataset, folder, 100_000)
    wait_for("checkpoints/checkpoint", folder, process)  # which lists them, and is written last
    process.send_signal(number)
    status, errors = process.wait(60), process.stdout.read()
    assert status == 128 + number, errors
    assert f"stopped by {number.name} at step" in errors
    assert f"to resume, run again: python -m trainer.train --experiment smoke --data {tiny_dataset}" in errors
    assert "Traceback" not in errors
    stopped_at = int(errors.strip().splitlines()[-1].split()[-1])
    assert tf.train.latest_checkpoint(str(folder / "checkpoints")).endswith(f"ckpt-{stopped_at}")


def test_a_torn_checkpoint_is_passed_over(tiny_dataset: Path, uninterrupted: Path, forked: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", uninterrupted, folder], check=True)
    newest = folder / "checkpoints" / "ckpt-20.data-00000-of-00001"
    os.truncate(newest, newest.stat().st_size // 2)
    done = forked("trainer.train", "--experiment", "smoke", "--data", tiny_dataset, "--workdir", folder, *settings(20))
    assert "ckpt-20 cannot be read" in done.stderr
    assert "ckpt-15" in done.stderr
    assert_same_weights(folder, uninterrupted)


@pytest.mark.parametrize("left", ["all", "config.json"])
def test_files_that_a_loss_of_power_emptied_do_not_end_a_run_for_good(
    tiny_dataset: Path, uninterrupted: Path, forked: Run, tmp_path: Path, left: str
) -> None:
    folder = tmp_path / "run"
    if left == "all":
        subprocess.run(["cp", "-r", uninterrupted, folder], check=True)
        for name in ("FINISHED", "inputs.json", "checkpoints/checkpoint"):
            os.truncate(folder / name, 0)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(b"")
    done = forked("trainer.train", "--experiment", "smoke", "--data", tiny_dataset, "--workdir", folder, *settings(20))
    assert "config.json is empty: it is rewritten from the command line" in done.stderr
    assert (f"from {folder}/checkpoints/ckpt-20" in done.stderr) == (left == "all")
    assert_same_weights(folder, uninterrupted)
    for name in ("config.json", "inputs.json", "FINISHED"):
        assert json.loads((folder / name).read_text())


def test_checkpoints_of_another_model_are_refused_before_anything_is_written(
    tiny_dataset: Path, uninterrupted: Path, forked: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", uninterrupted, folder], check=True)
    (folder / "config.json").write_bytes(b"")
    args = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", folder, "--set", "model.lstm_units=9"]
    done = forked("trainer.train", *args, status=42)
    assert "none of the checkpoints" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (folder / "config.json").read_bytes() == b""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--experiment", "released", "--init-from", "released"], "data.shares="),
        (["--experiment", "smoke", "--set", "data.shares=[1,2]"], "give one for each of the 1 datasets of --data"),
        (["--experiment", "smoke", "--set", "decode.beam_width=99999999"], "decode.beam_width=99999999"),
        (["--experiment", "smoke", "--workdir", "runs/a*b"], "--workdir runs/a*b: TensorFlow treats * in a name"),
        (["--experiment", "smoke", "--wait", "nan"], "argument --wait: nan: give a number"),
    ],
)
def test_settings_that_cannot_work_are_one_line_and_leave_nothing(
    tiny_dataset: Path, forked: Run, tmp_path: Path, args: list[str], said: str
) -> None:
    done = forked("trainer.train", "--data", tiny_dataset, "--workdir", tmp_path / "run", *args, status=2)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert len(done.stderr.splitlines()) <= 4
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_left_alone(tiny_dataset: Path, uninterrupted: Path, forked: Run) -> None:
    before = weights(uninterrupted)
    args = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", uninterrupted, *settings(20)]
    assert "done at step 20" in forked("trainer.train", *args).stderr
    after = weights(uninterrupted)
    assert all(np.array_equal(value, after[name]) for name, value in before.items())


def test_metrics_have_each_step_once(uninterrupted: Path) -> None:
    rows = files.read_metrics(str(uninterrupted))
    assert [row["step"] for row in rows if row["kind"] == "training"] == [5, 10, 15, 20]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [10, 20]
    assert all(np.isfinite(row["loss"]) for row in rows if row["kind"] == "training")
    assert list((uninterrupted / "tensorboard").glob("events.*"))
    assert json.loads((uninterrupted / "config.json").read_text())["experiment"] == "smoke"


def test_another_model_in_the_work_folder_is_refused(tiny_dataset: Path, uninterrupted: Path, forked: Run) -> None:
    args = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", uninterrupted, "--set", "model.lstm_units=9"]
    assert "holds another model or optimizer" in forked("trainer.train", *args, status=2).stderr
