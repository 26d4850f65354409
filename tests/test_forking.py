"""What tests start processes with: status, output and signals are those of a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.forking import Forked, processor_ticks

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
from tests.forking import Forked
process = Forked("this", [], dict(os.environ))
assert process.wait(60) == 0, process.stdout.read()
"""


def test_it_is_started_from_any_folder(tmp_path: Path) -> None:
    """Packages named `tests` are installed, too: the process that others are forked from must not take one of these."""
    (tmp_path / "tests").mkdir()
    subprocess.run([sys.executable, "-c", IN_ANOTHER_FOLDER, str(ROOT), str(tmp_path)], check=True)


WORK = "import time\nwhile time.process_time() < 3: pass"
LAUNCH = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK!r}], start_new_session=True)"


def test_a_command_that_waits_for_a_process_with_a_session_of_its_own_is_not_idle() -> None:
    """As `trainer.search` and `trainer.cluster` do, whose trainers Ctrl-C must not reach."""
    second = os.sysconf("SC_CLK_TCK")
    with subprocess.Popen([sys.executable, "-c", LAUNCH], start_new_session=True) as launcher:
        while (used := processor_ticks(launcher.pid)) < second and launcher.poll() is None:
            time.sleep(0.05)
        assert launcher.poll() is None, f"it ended after {used / second} s of work were seen"
