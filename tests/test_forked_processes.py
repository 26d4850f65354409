"""What the recovery tests start processes with: status, output and signals are those of a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
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


IN_ANOTHER_FOLDER = """
import os
import sys
sys.path.insert(0, sys.argv[1])
os.chdir(sys.argv[2])
from tests.forked_processes import Forked
process = Forked("this", [], dict(os.environ))
assert process.wait(60) == 0, process.stdout.read()
"""


def test_it_is_started_from_any_folder(tmp_path: Path) -> None:
    """Packages named `tests` are installed, too: the process that others are forked from must not take one of these."""
    (tmp_path / "tests").mkdir()
    subprocess.run([sys.executable, "-c", IN_ANOTHER_FOLDER, str(ROOT), str(tmp_path)], check=True)
