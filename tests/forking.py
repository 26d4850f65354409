"""Real processes at the price of a fork: one process imports everything once, all others are forks of it.

TensorFlow starts its threads with the first operation, not at import, so a process that has only imported it may fork.
What a module leaves on standard output and error, C++ messages included, its exit status and its memory limit are
those of a process of its own. Tests of the start itself run `python -m` instead: see `run` in `tests.conftest`.
"""

import contextlib
import faulthandler
import io
import multiprocessing
import os
import resource
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import pytest

from trainer.cluster import environment
from trainer.cluster.child import end_with
from trainer.cluster.local import LocalCluster

ROOT = Path(__file__).parent.parent
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.preloaded"])
ONE_AT_A_TIME = threading.Lock()  # multiprocessing may read the status of a process only once
OF_THE_SERVER = {"KERAS_BACKEND": "tensorflow", "GRPC_FAIL_FAST": "use_caller"}
MEMORY_BYTES = 12 << 30  # of address space, of which TensorFlow alone reserves several GB
HUNG = "hung"
IDLE_SECONDS = 15.0  # without any use of the processor, after which a command counts as hung


class Forked:
    """A process that runs a module like `python -m`, with what `LocalCluster` uses of a `subprocess.Popen`.

    Args:
      module: the name of the module.
      arguments: its command-line arguments.
      variables: its environment variables.
      output: a file for its standard output and error; by default a pipe, `stdout`, which must be read.
      errors: another file for its standard error.
      cwd: its working directory.
      memory: the most bytes of address space.
    """

    def __init__(
        self,
        module: str,
        arguments: list[str],
        variables: dict[str, str],
        output: str = "",
        *,
        errors: str = "",
        cwd: Path = ROOT,
        memory: int = resource.RLIM_INFINITY,
    ) -> None:
        reading, writing = FORKING.Pipe(duplex=False)
        given = (module, arguments, variables, writing, output, errors, str(cwd), memory)
        with ONE_AT_A_TIME:
            _start_server()
            self._process = FORKING.Process(target=_run, args=given, daemon=True)
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
        patched.chdir(ROOT)
        for name, value in OF_THE_SERVER.items():
            patched.setenv(name, value)
        forkserver.ensure_running()


def _run(
    module: str,
    arguments: list[str],
    variables: dict[str, str],
    pipe: Connection,
    output: str,
    errors: str,
    cwd: str,
    memory: int,
) -> None:
    """Turn this fork into the module's process, to its end."""
    os.setsid()
    written = _opened(output) if output else pipe.fileno()
    for descriptor, source in (
        (0, os.open(os.devnull, os.O_RDONLY)),
        (1, written),
        (2, _opened(errors) if errors else written),
    ):
        os.dup2(source, descriptor)
    cast(io.TextIOWrapper, sys.stdout).reconfigure(line_buffering=not errors, write_through=False)
    cast(io.TextIOWrapper, sys.stderr).reconfigure(line_buffering=True)
    os.write(pipe.fileno(), b"\n")
    pipe.close()
    end_with(os.getppid())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    faulthandler.register(signal.SIGUSR2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = [module, *arguments]
    for name in (module, f"{module}.__main__"):
        if not hasattr(sys.modules.get(name), "__path__"):  # runpy would warn that it is imported already
            sys.modules.pop(name, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        _flush()


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _flush() -> None:
    """Write what is buffered; if that fails, end with the status that the interpreter has then."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os._exit(120)


class ForkedCluster(LocalCluster):
    """A local cluster that starts its tasks as forks."""

    def _popen(self, name: str) -> subprocess.Popen:
        forked = Forked("trainer.train", self.arguments, environment.child_environment(self.tasks[name]))
        return cast(subprocess.Popen, forked)  # it has all that `LocalCluster` uses


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (negative: a signal; `hung`: it was killed after the time-out)."""

    status: int | str
    out: str
    err: str
    seconds: float


class Commands:
    """Runs commands one by one, each to its end and within limits; `scratch` is their working directory."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.variables = scratch, {**os.environ, **OF_THE_SERVER}

    def __call__(
        self,
        module: str,
        *args: object,
        cwd: Path | None = None,
        timeout: float = 180,
        memory: int = MEMORY_BYTES,
        stdout: str | None = None,
        kill_after: float | None = None,
        env: Mapping[str, str] | None = None,
        idle: float = IDLE_SECONDS,
    ) -> Ended:
        """Run a command to its end.

        `env` has further environment variables; `kill_after` so many seconds it and its children get SIGKILL; `idle`
        is how long it may wait for others.
        """
        out, err = self.scratch / "stdout", self.scratch / "stderr"
        for path in (out, err):
            path.write_text("")
        words = [os.fspath(arg) if isinstance(arg, Path) else str(arg) for arg in args]
        variables = {**self.variables, **(env or {})}
        begin = time.monotonic()
        process = Forked(
            module, words, variables, stdout or str(out), errors=str(err), cwd=cwd or self.scratch, memory=memory
        )
        process.stdout.close()
        status = _wait(process, timeout, kill_after, idle)
        said, wrong = (path.read_bytes().decode(errors="backslashreplace") for path in (out, err))
        return Ended(status, said, wrong, time.monotonic() - begin)


Command = Callable[..., Ended]


def _wait(process: Forked, seconds: float, kill_after: float | None, idle: float) -> int | str:
    """Return the status of a process, which is killed with its children if it takes longer, or is idle for long."""
    deadline, used, since, hung = time.monotonic() + seconds, -1, time.monotonic(), False
    try:
        watch = os.pidfd_open(process.pid)
    except ProcessLookupError:  # it has ended already
        return process.wait()
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    if kill_after is not None and not poll.poll(kill_after * 1000):
        os.killpg(process.pid, signal.SIGKILL)
    while not poll.poll(1000):
        now, before = time.monotonic(), used
        if (used := processor_ticks(process.pid)) > before:
            since = now
        if hung := now > deadline or now - since > idle:
            process.send_signal(signal.SIGUSR2)  # for the stacks of its threads
            time.sleep(0.5)
            break
    os.close(watch)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it, or children that it left behind
    status = process.wait()
    return HUNG if hung else status


def processor_ticks(command: int) -> int:
    """Return what a command's session and all processes started from it have used of the processor.

    A trainer that `trainer.search` waits for has a session of its own.
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = int(fields[1]), int(fields[3]), sum(map(int, fields[11:15]))
    counted: set[int] = set()
    more = {pid for pid, (_, session, _) in found.items() if session == command}
    while more:
        counted |= more
        more = {pid for pid, (parent, _, _) in found.items() if parent in counted} - counted
    return sum(found[pid][2] for pid in counted)
