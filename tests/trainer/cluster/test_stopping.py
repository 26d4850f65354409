import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer.cluster.local import free_ports

# A library that takes over SIGTERM in C, as TensorFlow's preemption notifier does, and ignores it.
TAKE_OVER = """
import ctypes, os, signal, sys, threading, time
from trainer.cluster.stopping import ended_by_sigterm_at_start, stoppable
libc = ctypes.CDLL(None)
ignore = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
"""


def ended(script: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", TAKE_OVER + script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_sigterm_ends_a_process_whose_library_has_taken_it_over() -> None:
    """And though the main thread is in C and another thread might receive the signal."""
    done = ended(
        "with ended_by_sigterm_at_start():\n"
        "    libc.signal(15, ignore)\n"
        "    threading.Thread(target=libc.sleep, args=(30,), daemon=True).start()\n"
        "    threading.Timer(0.5, lambda: os.kill(os.getpid(), 15)).start()\n"
        "    libc.sleep(30)\n"
    )
    assert done.returncode == 143, done.stderr


def test_once_stoppable_the_handler_gets_the_signal_and_nothing_stays_blocked() -> None:
    done = ended(
        "with ended_by_sigterm_at_start():\n"
        "    libc.signal(15, ignore)\n"
        "    came = []\n"
        "    with stoppable(came.append):\n"
        "        time.sleep(0.5)\n"
        "        os.kill(os.getpid(), 15)\n"
        "        time.sleep(0.5)\n"
        "assert came == [15], came\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "assert signal.getsignal(15) == signal.SIG_DFL\n"
        "assert [t.name for t in threading.enumerate()] == ['MainThread']\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["multi-worker", "parameter-server"])
def test_sigterm_at_any_moment_of_start_up_ends_the_task(strategy: str, tiny_dataset: Path, tmp_path: Path) -> None:
    """It is never lost. While workers wait for each other TensorFlow holds the GIL: then it ends once all are there."""
    here, other, server = (f"127.0.0.1:{port}" for port in free_ports(3))
    jobs = (
        {"worker": [here, other]}
        if strategy == "multi-worker"
        else {"chief": [here], "worker": [other], "ps": [server]}
    )
    first = next(iter(jobs))
    peers = [("worker", 1)] if strategy == "multi-worker" else [("worker", 0), ("ps", 0)]
    args = [
        "--experiment",
        "smoke",
        "--data",
        tiny_dataset,
        "--workdir",
        tmp_path / "run",
        "--set",
        "train.steps=100000",
    ]

    def started(role: str, index: int) -> subprocess.Popen:
        config = {"cluster": jobs, "task": {"type": role, "index": index}}
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.train", *map(str, args)],
            cwd=ROOT,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    for moment in (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15):
        tasks = [started(first, 0), *(started(role, index) for role, index in peers)]
        try:
            time.sleep(moment)
            tasks[0].send_signal(signal.SIGTERM)
            status = tasks[0].wait(60)
        finally:
            for task in tasks:
                task.kill()
                task.wait()
        assert status in (143, -signal.SIGTERM), f"after {moment} s"  # the latter while Python itself starts
