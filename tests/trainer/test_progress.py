"""A bar on a real terminal, with what is printed meanwhile not garbled; elsewhere nothing."""

import logging
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer import progress

SCRIPT = """
import logging, sys, time
from trainer import cli, progress
from trainer.cluster import environment
def run(argv):
    cli.parser(description="", example="a b c").parse_args(argv)
    environment.configure(use_tensorflow=False)
    with progress.note("loading"):
        pass
    with progress.bar("training", 40, unit="step") as show:
        for step in range(1, 41):
            show(step)
            time.sleep(0.01)
            if step % 10 == 0:
                logging.getLogger("trainer.x").info("step %d", step)
                print("printed", step)
    print("done")
sys.exit(cli.exit_status(run, sys.argv[1:]))
"""


NESTED = """
import time
from trainer import cli, progress
cli.parser(description="", example="a b c").parse_args([])
with progress.bar("training", 40, unit="step") as trained:
    for step in range(1, 41):
        trained(step)
        time.sleep(0.01)
        if step % 20 == 0:
            for batch in progress.batches("validating", [range(5)] * 30, 150):
                time.sleep(0.01)
print("done")
"""


def in_terminal(*flags: str, command: tuple[str, ...] = ("-c", SCRIPT)) -> tuple[str, list[str]]:
    """Return what a terminal receives, and the lines that it shows in the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *command, *flags], cwd=ROOT, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux's end of file of a terminal
            break
        if not chunk:
            break
        received += chunk
    os.close(ours)
    assert process.wait() == 0
    text = received.decode()
    return text, [line for line in screen(text) if line]


def screen(text: str) -> list[str]:
    """Return the lines that remain, with what is written over after a carriage return."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


PLAIN = [words for step in (10, 20, 30, 40) for words in (f"HH:MM:SS step {step}", f"printed {step}")] + ["done"]


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d ", "HH:MM:SS ", line) for line in lines]


def test_a_terminal_shows_a_bar_and_keeps_what_is_printed_beside_it() -> None:
    received, shown = in_terminal()
    assert "loading ..." in received
    assert re.search(r"training: +\d+%.*\d+/40 \[\d\d:\d\d<.*step", received)
    assert without_times(shown) == PLAIN


@pytest.mark.parametrize("flags", [["-q"], ["--log-format", "json"]])
def test_no_bar_where_it_was_declined(flags: list[str]) -> None:
    received, _ = in_terminal(*flags)
    assert "training:" not in received
    assert "loading" not in received
    assert "\r\r" not in received


def test_a_log_has_plain_lines() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert without_times(done.stderr.splitlines()) == [line for line in PLAIN if "step" in line]
    assert "\r" not in done.stderr


def test_a_bar_within_another_takes_its_line_until_it_ends() -> None:
    received, shown = in_terminal(command=("-c", NESTED))
    bars = re.findall(r"(training|validating): ", received)
    changes = [one for one, before in zip(bars, ["", *bars], strict=False) if one != before]
    assert changes == ["training", "validating", "training", "validating"]
    assert re.search(r"validating: +\d+%.*\d+/150 \[\d\d:\d\d<.*image", received)
    assert shown == ["done"]
    assert received.count("\n") == 1


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 3), (3600.0, 0)])
def test_a_log_says_now_and_then_how_much_is_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: float, count: int
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", seconds)
    caplog.set_level(logging.INFO)
    assert list(progress.batches("evaluating", ["1000 images ".ljust(1000)] * 3, 3000))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == count
    assert all(re.fullmatch(r"evaluating: [123],000 of 3,000 images, [\d.]+ a second", line) for line in said)


TRAINING = ("--experiment", "smoke", "--set", "train.steps=10", "data.batch_size=4", "train.checkpoint_every=5")


@pytest.mark.slow
def test_training_shows_its_validations(tiny_dataset: Path, tmp_path: Path) -> None:
    where = ("--data", str(tiny_dataset), "--workdir", str(tmp_path / "run"))
    received, shown = in_terminal(*TRAINING, *where, command=("-m", "trainer.train"))
    assert re.search(r"training: +\d+%.*/10 ", received)
    assert re.search(r"validating: +\d+%.*/\d+ \[.*image", received)
    assert not [line for line in shown if "%|" in line]


@pytest.mark.slow
def test_an_evaluation_of_a_work_folder_shows_a_bar(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_model.parent / "run", tmp_path / "run")
    args = ("--workdir", str(run), "--data", str(tiny_dataset), "--split", "train", "--allow-seen")
    received, shown = in_terminal(*args, command=("-m", "trainer.evaluate"))
    assert re.search(r"evaluating: +\d+%.*/\d+ \[.*image", received)
    assert any("numbers fully correct" in line for line in shown)


@pytest.mark.slow
def test_a_search_shows_how_many_runs_are_done(tiny_dataset: Path, tmp_path: Path) -> None:
    where = ("--data", str(tiny_dataset), "--workdir", str(tmp_path / "search"))
    received, shown = in_terminal(*TRAINING, *where, "--grid", "seed=1,2", command=("-m", "trainer.search"))
    assert re.search(r"searching: +50%.*1/2 \[.*run", received)
    assert len([line for line in shown if re.search(r"run [12]/2 seed=[12]$", line)]) == 2
