"""Processes of a cluster as forks of one that has imported everything, for tests that start many of them.

A process that starts as a user's does spends most of its time importing TensorFlow: see tests/test_local_cluster.py.
`tests.faults.forking` runs one command to its end, within limits; here many run at once and are killed one by one.
"""

import contextlib
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import pytest

from trainer.cluster import environment
from trainer.cluster.child import end_with
from trainer.cluster.local import LocalCluster

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.preloaded"])
ONE_AT_A_TIME = threading.Lock()  # multiprocessing may read the status of a process only once


class Forked:
    """A process that runs a module like `python -m`, with what `LocalCluster` uses of a `subprocess.Popen`.

    Args:
      module: the name of the module.
      arguments: its command-line arguments.
      variables: its environment variables.
      output: a file for its standard output and error; by default a pipe, `stdout`, which must be read.
    """

    def __init__(self, module: str, arguments: list[str], variables: dict[str, str], output: str = "") -> None:
        reading, writing = FORKING.Pipe(duplex=False)
        with ONE_AT_A_TIME:
            _start_server()
            self._process = FORKING.Process(
                target=_run, args=(module, arguments, variables, writing, output), daemon=True
            )
            self._process.start()
        writing.close()
        os.read(reading.fileno(), 1)  # now it has a process group of its own, which can be killed
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.stdout = os.fdopen(os.dup(reading.fileno()), errors="replace")
        reading.close()

    def poll(self) -> int | None:
        with ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, timeout: float = float("inf")) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with all that it has started, if it runs, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def _start_server() -> None:
    """Start the process that others are forked from, if there is none: it imports from its working directory alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(Path(__file__).parent.parent)
        forkserver.ensure_running()


def _run(module: str, arguments: list[str], variables: dict[str, str], pipe: Connection, output: str) -> None:
    os.setsid()
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if output else pipe.fileno()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(written, stream.fileno())
        cast(io.TextIOWrapper, stream).reconfigure(line_buffering=True)
    os.write(pipe.fileno(), b"\n")
    pipe.close()
    end_with(os.getppid())
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class ForkedCluster(LocalCluster):
    """A local cluster that starts its tasks as forks."""

    def _popen(self, name: str) -> subprocess.Popen:
        forked = Forked("trainer.train", self.arguments, environment.child_environment(self.tasks[name]))
        return cast(subprocess.Popen, forked)  # it has all that `LocalCluster` uses
