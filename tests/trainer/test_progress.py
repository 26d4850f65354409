"""A bar on a real terminal, with what is printed meanwhile not garbled; elsewhere nothing."""

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

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


def in_terminal(*flags: str) -> tuple[str, list[str]]:
    """Return what a terminal receives, and the lines that it shows in the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *flags], cwd=ROOT, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
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
