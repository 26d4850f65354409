"""Ctrl-C in the commands that run pipelines, as a terminal sends it: to all processes of the command at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, Run

pytestmark = pytest.mark.slow

PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file and its 40 images."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png", compress_level=1)
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{i}.png,{i}\n" for i in range(40)))
    return folder


def command(name: str, photos: Path, model: Path, output: Path) -> list[str]:
    if name == "synthesize":
        return ["beam_pipelines.synthesize", "--count", "1500", "--num-shards", "2", "--output", str(output)]
    if name == "prepare":
        given = ["--format", "csv", "--input", str(photos / "labels.csv"), "--output", str(output)]
        return ["beam_pipelines.prepare", *given, "--num-shards", "2"]
    given = ["--model", str(model), "--input", str(photos / "images"), "--output", str(output), "--num-shards", "2"]
    return ["beam_pipelines.score", *given]


def group(leader: int) -> str:
    """Return the processes of the session that a process leads: itself, and all that it has started.

    Left out are those that have ended and that nobody has waited for: where process 1 is no init, orphans stay as such.
    """
    listed = subprocess.run(["ps", "-s", str(leader), "-o", "pid=,stat=,args="], capture_output=True, text=True).stdout
    return "".join(line for line in listed.splitlines(keepends=True) if not line.split()[1].startswith("Z"))


@contextmanager
def started(arguments: list[str], output: Path, *, workers: int) -> Iterator[subprocess.Popen]:
    """Start a command in its own process group, as in a terminal; wait until it writes and its workers run."""
    line = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not (output.exists() and group(process.pid).count("beam_pipelines.sharding.worker") >= workers):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "number", "options"),
    [
        ("synthesize", signal.SIGINT, []),
        ("synthesize", signal.SIGHUP, PROCESSES),
        ("prepare", signal.SIGINT, PROCESSES),
        ("score", signal.SIGINT, []),
        ("score", signal.SIGINT, PROCESSES),
    ],
)
def test_ctrl_c_is_one_line_and_the_same_command_completes(
    name: str, number: signal.Signals, options: list[str], photos: Path, tiny_model: Path, forked: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = [*command(name, photos, tiny_model, output), *options]
    with started(arguments, output, workers=2 if options else 0) as process:
        time.sleep(0.2)
        os.killpg(process.pid, number)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1] == f"interrupted: run the same command again to complete {output}"
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 3  # besides progress and what TensorFlow says when it starts
    deadline = time.monotonic() + 10
    while left := group(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert not list(output.glob("*COMPLETED"))
    forked(*arguments)
    assert list(output.glob("*COMPLETED"))
    assert not list(output.glob("*.tmp-*"))


def test_workers_end_with_a_command_that_is_killed(photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = [*command("synthesize", photos, tiny_model, tmp_path / "out"), "--count", "100000", *PROCESSES]
    with started(arguments, tmp_path / "out", workers=2) as process:
        process.kill()
    deadline = time.monotonic() + 10
    while left := group(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
