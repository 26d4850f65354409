"""A few bad situations with processes of their own, as a shell starts them: what forks of one process cannot show."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.command_lines import command_line
from tests.faults.snapshots import differences, snapshot
from tests.forking import ROOT

pytestmark = pytest.mark.slow


def start(module: str, args: list[str], place: Path, **options: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict(options.pop("env", {}))}  # type: ignore[call-overload]
    command = [sys.executable, "-m", module, *args]
    how = {"cwd": place, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=environment, **how)  # type: ignore[call-overload]


@pytest.mark.parametrize("onednn", ["0", "1"])
@pytest.mark.parametrize(
    ("module", "replaced"),
    [
        ("trainer.predict", {"model": "nowhere"}),
        ("trainer.train", {"data": "nowhere"}),
        ("trainer.evaluate", {"workdir": "nowhere"}),
        ("beam_pipelines.score", {"input": "nowhere"}),
        ("beam_pipelines.prepare", {"input": "nowhere"}),
        ("trainer.search", {"grid": "no.such=1"}),
    ],
)
def test_an_error_is_one_line_whatever_the_cpu(
    world: Path, place: Path, module: str, replaced: dict[str, str], onednn: str
) -> None:
    """TensorFlow's own lines at import, which depend on the CPU, do not stand before it."""
    before = snapshot(world, place)
    args = command_line(module, world=world, new=place, **replaced)
    out, err = start(module, args, place, env={"TF_ENABLE_ONEDNN_OPTS": onednn}).communicate(timeout=300)
    assert [line.startswith("error: ") for line in err.splitlines()] == [True], err
    assert not out
    assert not differences(before, snapshot(world, place))


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_reading_says_nothing_of_tensorflow(world: Path, place: Path, onednn: str) -> None:
    environment = {"TF_ENABLE_ONEDNN_OPTS": onednn}
    for module in ("trainer.predict", "beam_pipelines.score"):
        args = command_line(module, world=world, new=place)
        process = start(module, args, place, env=environment)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert not [word for word in ("WARNING", "oneDNN", "absl", "cpu_feature") if word in err], err


@pytest.mark.parametrize(("number", "statuses"), [(signal.SIGINT, (130,)), (signal.SIGTERM, (143, -15))])
@pytest.mark.parametrize("module", ["beam_pipelines.synthesize", "beam_pipelines.score"])
def test_an_interrupted_pipeline_is_one_line_and_not_complete(
    world: Path, place: Path, module: str, number: signal.Signals, statuses: tuple[int, ...]
) -> None:
    more: dict[str, object] = {"count": 200_000} if module.endswith("synthesize") else {"batch_size": 1}
    args = command_line(module, world=world, new=place, **more)
    process = start(module, args, place)
    deadline = time.monotonic() + 120
    while not (place / "out").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode in statuses, err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2, err
    assert not list((place / "out").glob("*COMPLETED"))


@pytest.mark.parametrize("module", ["trainer.predict", "beam_pipelines.inspect", "k8s.submit"])
def test_a_closed_output_is_no_traceback(world: Path, place: Path, module: str) -> None:
    """As in `command >&-`, and as in `command | head -1`."""
    args = command_line(module, world=world, new=place)
    words = [sys.executable, "-m", module, *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for shell in ('exec "$@" >&-', '"$@" | true'):
        command = ["bash", "-o", "pipefail", "-c", shell, "bash", *words]
        done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr


def test_training_to_a_full_output_is_one_line() -> None:
    """`trainer.train` ends in its own way, which must not fail again after the error was reported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "trainer.train", "--help"]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 42, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_text_file_that_shrinks_while_it_is_read_is_an_error(world: Path, place: Path) -> None:
    """A mapped file would end the process by SIGBUS. Read whole, it is an error, too: all rows name one image."""
    path = place / "labels.csv"
    row = "1.png,12\n"
    path.write_text("file,label\n" + row * 300_000)
    args = command_line("beam_pipelines.prepare", world=world, new=place, input=path)
    process = start("beam_pipelines.prepare", args, place)
    time.sleep(3)
    while process.poll() is None and path.stat().st_size > 100:
        os.truncate(path, path.stat().st_size // 2)
        time.sleep(0.2)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, f"{process.returncode}: {err[-1000:]}"
    assert "Traceback" not in err
