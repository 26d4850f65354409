"""Commands as real processes at the price of a fork: one process imports everything once, each command is a fork of it.

TensorFlow starts its threads with the first operation, not at import, so a process that has only imported it may fork.
What a command leaves on standard output and error, C++ messages included, its exit status, its memory limit and its
time-out are those of a process of its own.
"""

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
COMMANDS = (
    *(
        f"trainer.{name}"
        for name in ("train", "evaluate", "export", "predict", "report", "search", "serve", "finetune")
    ),
    *(f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "inspect", "download", "draw")),
    "trainer.cluster.__main__",
    "k8s.submit",
)
# What the commands import when they are called. None of it may start a thread of its own: a fork would lack it.
IMPORTED_LATER = (
    *("tensorflow", "keras", "matplotlib.pyplot", "jinja2", "scipy.io", "h5py", "rich.console", "uvicorn"),
    *("trainer.training.run", "trainer.inference.evaluation", "trainer.inference.saved_model"),
    *("trainer.inference.exported_model", "trainer.inference.few_images", "trainer.inference.reader"),
    *("trainer.reporting.page", "trainer.serving.app", "trainer.serving.models"),
    *(f"beam_pipelines.runs.{name}" for name in ("prepare", "synthesize", "score", "inspect", "download", "draw")),
    *("k8s.client", "k8s.diagnose", "k8s.run", "k8s.watch"),
)
MEMORY_BYTES = 12 << 30  # of address space, of which TensorFlow alone reserves several GB
HUNG = "hung"
PR_SET_PDEATHSIG = 1
IDLE_SECONDS = 15.0  # without any use of the processor, after which a command counts as hung


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (negative: a signal; `hung`: it was killed after the time-out)."""

    status: int | str
    out: str
    err: str
    seconds: float


def run_here(module: str, args: list[str]) -> int:
    """Runs a command in this process as `python -m` does; where it crashes, prints a traceback. Returns the status."""
    sys.argv = [f"{module}.py", *args]
    try:
        status = importlib.import_module(module).main(None)
    except SystemExit as leaving:
        status = leaving.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
            return 1
    except BaseException:  # what the interpreter would print
        traceback.print_exc()
        return 1
    return int(status or 0)


def _become(request: dict[str, Any]) -> None:
    """Turns this fork into the command's process, to its end."""
    os.setsid()
    for descriptor, path in ((0, "/dev/null"), (1, request["stdout"]), (2, request["stderr"])):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
    faulthandler.register(signal.SIGUSR2, file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 1
    with contextlib.suppress(BaseException):
        status = run_here(request["module"], request["args"])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120  # as the interpreter does at its end
    os._exit(status & 0xFF)


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


def _wait(pid: int, seconds: float, kill_after: float | None) -> int | str:
    """The exit status of a process, which is killed with its children if it takes longer, or does nothing for long."""
    deadline, used, since, hung = time.monotonic() + seconds, -1, time.monotonic(), False
    watch = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    if kill_after is not None and not poll.poll(kill_after * 1000):
        os.killpg(pid, signal.SIGKILL)
    while not poll.poll(1000):
        now, before = time.monotonic(), used
        if (used := processor_ticks(pid)) > before:
            since = now
        if hung := now > deadline or now - since > IDLE_SECONDS:
            os.kill(pid, signal.SIGUSR2)  # for the stacks of its threads
            time.sleep(0.5)
            os.killpg(pid, signal.SIGKILL)
            break
    os.close(watch)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # children that it left behind
    return HUNG if hung else status


def serve() -> None:
    """Imports everything, then answers a JSON line with the status of the command that it asks for."""
    from trainer.cluster import environment

    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    environment.quiet_tensorflow()
    for name in COMMANDS:
        importlib.import_module(name)
    importlib.import_module("beam_pipelines.beam_import").import_beam()  # without a message, so before what imports it
    for name in IMPORTED_LATER:
        importlib.import_module(name)
    gc.freeze()  # a fork would copy all memory pages of these objects when it looks for garbage
    replies.write('"ready"\n')
    running = [0]

    def leave(*_: object) -> None:
        if running[0]:
            os.killpg(running[0], signal.SIGKILL)
        os._exit(143)

    signal.signal(signal.SIGTERM, leave)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # what hangs must not outlive the tests
    for line in sys.stdin:
        request = json.loads(line)
        running[0] = pid = os.fork()
        if pid == 0:
            try:
                _become(request)
            finally:
                os._exit(113)
        status = _wait(pid, request["timeout"], request["kill_after"])
        running[0] = 0
        replies.write(json.dumps(status) + "\n")


class Commands:
    """Runs commands, each as a fork of one process that has imported everything."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "GRPC_FAIL_FAST": "use_caller"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forking"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._reply() == "ready"

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
    ) -> Ended:
        """Runs a command to its end.

        `env` has further environment variables; `kill_after` so many seconds it and its children get SIGKILL.
        """
        out, err = self.scratch / "stdout", self.scratch / "stderr"
        request = {
            "module": "trainer.cluster.__main__" if module == "trainer.cluster" else module,
            "args": [os.fspath(arg) if isinstance(arg, Path) else str(arg) for arg in args],
            "cwd": str(cwd or self.scratch),
            "stdout": stdout or str(out),
            "stderr": str(err),
            "timeout": timeout,
            "memory": memory,
            "kill_after": kill_after,
            "env": dict(env or {}),
        }
        out.write_text("")
        begin = time.monotonic()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = self._reply()
        said, wrong = (path.read_bytes().decode(errors="backslashreplace") for path in (out, err))
        return Ended(status, said, wrong, time.monotonic() - begin)

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that commands are forked from has died"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:  # on a busy machine, the interpreter takes its time to end
            self._process.kill()
            self._process.wait()


Command = Callable[..., Ended]

if __name__ == "__main__":
    serve()
