import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.forking import Forked
from trainer.cluster.local import free_ports

# A library that takes over SIGTERM in C, as TensorFlow's preemption notifier does, and ignores it: abs(3) does nothing.
TAKE_OVER = """
import ctypes, os, signal, subprocess, sys, threading, time
from trainer.cluster.stopping import ended_by_sigterm_at_start, stoppable
libc = ctypes.CDLL(None)
ignore = libc.abs
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


def test_sigterm_ends_a_process_that_holds_the_gil_at_its_start() -> None:
    """As the import of a large library does; Kubernetes reports -15 as 143."""
    done = ended(
        "with ended_by_sigterm_at_start():\n"
        "    subprocess.Popen(['sh', '-c', f'sleep 1; kill {os.getpid()}'])\n"
        "    ctypes.PyDLL(None).sleep(30)\n"
    )
    assert done.returncode == -signal.SIGTERM, done.stderr


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


def environment(task: tuple[str, int], jobs: dict[str, list[str]]) -> dict[str, str]:
    """Return the environment variables of a task of a cluster."""
    config = {"cluster": jobs, "task": {"type": task[0], "index": task[1]}}
    return {**os.environ, "TF_CONFIG": json.dumps(config)}


def arguments(*args: object) -> list[str]:
    return ["--experiment", "smoke", *map(str, args)]


def has_taken_over(process: Forked) -> bool:
    """Return whether a process catches SIGTERM in C, as TensorFlow does from when it begins to connect."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (caught,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")]
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
def test_sigterm_ends_a_worker_whose_peer_never_comes(tiny_dataset: Path, tmp_path: Path) -> None:
    """TensorFlow waits for it in C, and holds the GIL unless it is made to release it."""
    jobs = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    args = arguments("--data", tiny_dataset, "--workdir", tmp_path / "run")
    worker = Forked("trainer.train", args, environment(("worker", 0), jobs))
    try:
        while not has_taken_over(worker):
            assert worker.poll() is None
            time.sleep(0.1)
        time.sleep(2)  # until it waits
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 143
    finally:
        worker.kill()


@pytest.mark.slow
def test_a_worker_gives_up_on_a_peer_that_never_comes(tiny_dataset: Path, tmp_path: Path) -> None:
    jobs = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    args = arguments("--data", tiny_dataset, "--workdir", tmp_path / "run", "--wait", 2)
    worker = Forked("trainer.train", args, environment(("worker", 0), jobs))
    try:
        assert worker.wait(300) == 41
        said = worker.stdout.read()
    finally:
        worker.kill()
    assert f"no answer from worker 1 ({jobs['worker'][1]}): exiting with status 41" in said.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["multi-worker", "parameter-server"])
def test_sigterm_at_any_moment_of_start_up_ends_the_task(strategy: str, tiny_dataset: Path, tmp_path: Path) -> None:
    here, other, server = (f"127.0.0.1:{port}" for port in free_ports(3))
    jobs = (
        {"worker": [here, other]}
        if strategy == "multi-worker"
        else {"chief": [here], "worker": [other], "ps": [server]}
    )
    first = next(iter(jobs))
    peers = [("worker", 1)] if strategy == "multi-worker" else [("worker", 0), ("ps", 0)]
    args = arguments("--data", tiny_dataset, "--workdir", tmp_path / "run", "--set", "train.steps=100000")
    command = [sys.executable, "-m", "trainer.train", *args]  # as a user starts it: Python's start counts, too
    for moment in (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15):
        task = subprocess.Popen(
            command, cwd=ROOT, env=environment((first, 0), jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        others = [Forked("trainer.train", args, environment(peer, jobs), output=os.devnull) for peer in peers]
        try:
            time.sleep(moment)
            task.send_signal(signal.SIGTERM)
            status = task.wait(60)
        finally:
            task.kill()
            task.wait()
            for forked in others:
                forked.kill()
        assert status in (143, -signal.SIGTERM), f"after {moment} s"  # the latter while Python itself starts
