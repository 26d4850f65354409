"""What the recovery tests start processes with: status, output and signals are those of a process of its own."""

import os
import signal
import subprocess

import pytest

from tests.forked_processes import Forked

pytestmark = pytest.mark.slow  # the process that others are forked from imports TensorFlow


def test_output_and_status_are_those_of_the_module() -> None:
    process = Forked("this", [], dict(os.environ))
    assert process.wait(60) == 0
    assert "Beautiful is better than ugly" in process.stdout.read()
    process = Forked("no_such_module", [], dict(os.environ))
    assert process.wait(60) == 1
    assert "No module named no_such_module" in process.stdout.read()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_runs_until_a_signal_to_its_group_ends_it(number: signal.Signals) -> None:
    process = Forked("http.server", ["0", "--bind", "127.0.0.1"], dict(os.environ))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    assert process.poll() is None
    os.killpg(process.pid, number)
    assert process.wait(60) == -number
