"""What the tests use to run commands."""

import os
import subprocess
import sys
import time

from tests.faults.forking import processor_ticks

WORK = "import time\nwhile time.process_time() < 3: pass"
LAUNCH = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK!r}], start_new_session=True)"


def test_a_command_that_waits_for_a_process_with_a_session_of_its_own_is_not_idle() -> None:
    """As `trainer.search` and `trainer.cluster` do, whose trainers Ctrl-C must not reach."""
    second = os.sysconf("SC_CLK_TCK")
    with subprocess.Popen([sys.executable, "-c", LAUNCH], start_new_session=True) as launcher:
        while (used := processor_ticks(launcher.pid)) < second and launcher.poll() is None:
            time.sleep(0.05)
        assert launcher.poll() is None, f"it ended after {used / second} s of work were seen"
