import subprocess
import sys

from tests.conftest import ROOT


def script(body: str) -> subprocess.CompletedProcess:
    lines = [
        "import logging, time",
        "from trainer.cluster.watchdog import Watchdog",
        "logging.basicConfig()",
        *body.split("\n"),
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_takes_too_long_while_another_task_is_silent_ends_the_process() -> None:
    done = script("with Watchdog(0.2, lambda: ['ps 1 (host:1)']).limit('step 7'): time.sleep(50)")
    assert done.returncode == 41
    assert "step 7 has taken" in done.stderr
    assert "no answer from ps 1 (host:1)" in done.stderr


def test_what_is_only_slow_is_waited_for_but_not_for_ever() -> None:
    assert script("with Watchdog(0.2).limit('step 7'): time.sleep(1)").returncode == 0
    assert script("with Watchdog(0.05).limit('step 7'): time.sleep(50)").returncode == 41


def test_what_ends_in_time_is_no_longer_watched() -> None:
    body = (
        "dog = Watchdog(0.2, lambda: ['ps 1'])\nfor _ in range(3):\n  with dog.limit('a step'): pass\ntime.sleep(0.5)"
    )
    assert script(body).returncode == 0


def test_after_sigterm_what_waits_for_a_silent_task_ends_soon() -> None:
    body = (
        "import threading, trainer.cluster.watchdog; trainer.cluster.watchdog.STOP_SECONDS = 0.2\n"
        "dog = Watchdog(50, lambda: ['ps 1'])\n"
        "threading.Timer(0.2, dog.stop_soon).start()\n"
        "with dog.limit('step 7'): time.sleep(50)"
    )
    done = script(body)
    assert done.returncode == 143
    assert "no answer from ps 1: exiting with status 143" in done.stderr
