"""`python -m trainer.cluster`, as users try a cluster on a laptop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run
from trainer.config import experiments, schema
from trainer.workdir import files

pytestmark = pytest.mark.slow


def left_behind(folder: Path) -> str:
    """Return the processes whose command line contains the folder."""
    return subprocess.run(["pgrep", "-af", str(folder)], capture_output=True, text=True).stdout


def test_one_command_trains_on_a_cluster_and_leaves_nothing_running(
    run: Run, tiny_dataset: Path, tmp_path: Path
) -> None:
    settings = ["train.steps=40", "data.holdout=0.2", "tensorboard.images=false"]
    train = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", tmp_path / "run", "--set", *settings]
    said = run("trainer.cluster", "--workers", "2", "--parameter-servers", "1", "--", *train).stdout
    for task in ("chief", "worker 0", "worker 1", "ps 0", "evaluator"):
        assert f"\n[{task}] " in f"\n{said}"
    assert "step 40/40" in said
    wanted = schema.override(experiments.find("smoke"), settings)
    assert files.finished_step(str(tmp_path / "run"), wanted) == 40
    assert not left_behind(tmp_path)


def test_the_users_mistake_is_not_tried_again(run: Run, tmp_path: Path) -> None:
    done = run("trainer.cluster", "--", "--data", tmp_path / "none", "--workdir", tmp_path / "run", status=2)
    assert f"{tmp_path}/none" in done.stdout
    assert not left_behind(tmp_path)


def test_ctrl_c_stops_the_tasks_which_save_and_says_how_to_resume(tiny_dataset: Path, tmp_path: Path) -> None:
    train = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", tmp_path / "run"]
    command = [sys.executable, "-m", "trainer.cluster", "--", *map(str, train), "--set", "train.steps=1000000"]
    launcher = subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert launcher.stdout is not None
    said = ""
    for line in launcher.stdout:
        said += line
        if " step " in line:
            break
    networks = {os.readlink(f"/proc/{line.split()[0]}/ns/net") for line in left_behind(tmp_path).splitlines()}
    os.killpg(launcher.pid, signal.SIGINT)
    try:
        rest, errors = launcher.communicate(timeout=120)
    finally:
        launcher.kill()
    assert launcher.returncode == 130
    assert "saved " in said + rest
    # One network, and nobody else's unless that is said.
    assert len(networks) == 1
    assert (networks == {os.readlink("/proc/self/ns/net")}) == ("without authentication" in errors)
    assert "to resume, run again: python -m trainer.cluster -- --experiment smoke" in errors
    assert "Traceback" not in errors
    assert not left_behind(tmp_path)


def test_tasks_end_with_a_launcher_that_is_killed(tiny_dataset: Path, tmp_path: Path) -> None:
    train = ["--experiment", "smoke", "--data", tiny_dataset, "--workdir", tmp_path / "run"]
    command = [sys.executable, "-m", "trainer.cluster", "--", *map(str, train), "--set", "train.steps=1000000"]
    launcher = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    next(line for line in launcher.stdout if "images to train on" in line)
    assert len(left_behind(tmp_path).splitlines()) == 3
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 60
    while left := left_behind(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
