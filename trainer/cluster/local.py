"""Run a cluster of processes on this machine that behaves like the Jobs of k8s/: tasks that fail are restarted."""

import contextlib
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import IO

from trainer import logs
from trainer.cluster import environment
from trainer.cluster.environment import Task
from trainer.exit_status import USER_ERROR_STATUS

log = logging.getLogger(__name__)

END_SECONDS = 30.0  # for the other tasks to end on their own once the chief is done, and for all tasks after SIGTERM
OTHERS_SECONDS = 5.0  # the part of END_SECONDS that is reserved for the tasks that stop after the chief
PROBE_SECONDS = 2.0
COLOURS = (36, 33, 32, 35, 34, 31)


class LocalCluster:
    """Processes of `python -m trainer.train ARGUMENTS`, one for each task, which reach each other at 127.0.0.1.

    TensorFlow's servers listen on all interfaces, whatever address they are given.

    Args:
      arguments: of `trainer.train`.
      workers, servers, evaluators: how many; without servers the workers are synchronous and worker 0 is the chief.
      back_off_limit: how often a task may fail on its own, not counting kills.
      restart_delay: seconds before a task is restarted.
      probes: how many liveness probes, two seconds each, a worker or server may fail before it is killed; 0: no limit.
      output: where the tasks' output is written.
    """

    def __init__(
        self,
        arguments: list[str],
        *,
        workers: int,
        servers: int,
        evaluators: int = 0,
        back_off_limit: int = 6,
        restart_delay: float = 1.0,
        probes: int = 3,
        output: IO[str] = sys.stdout,
    ) -> None:
        counts = {"chief": 1, "worker": workers, "ps": servers} if servers else {"worker": workers}
        ports = iter(free_ports(sum(counts.values())))
        jobs = {job: tuple(f"127.0.0.1:{next(ports)}" for _ in range(count)) for job, count in counts.items()}
        tasks = [Task(job, i, jobs) for job, count in counts.items() for i in range(count)]
        tasks += [Task("evaluator", i, jobs) for i in range(evaluators)]
        self.arguments, self.output = arguments, output
        self.back_off_limit, self.restart_delay, self.probes = back_off_limit, restart_delay, probes
        self.tasks = {str(task): task for task in tasks}
        self.chief = next(name for name, task in self.tasks.items() if task.is_chief)
        self.processes: dict[str, subprocess.Popen] = {}
        self.done: dict[str, int] = {}
        self.failures: Counter[str] = Counter()
        self.killed: set[int] = (
            set()
        )  # process ids killed on purpose, as Kubernetes does; these do not count as failures
        self.due: dict[str, float] = {}
        self.ended = threading.Event()
        self.copying: list[threading.Thread] = []  # each copies the output of a task
        self.starts: list[tuple[float, str]] = []  # when (seconds since the epoch) each task was started

    def __enter__(self) -> "LocalCluster":
        for name in self.tasks:
            self._start(name)
        if self.probes:
            threading.Thread(target=self._probe, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind: ask the chief to save and stop, then the others, then kill the rest.

        The chief needs servers and workers to complete its step and to save, so they stay until then, as in k8s/.
        """
        self.ended.set()
        chief = [process for name, process in self.processes.items() if name == self.chief]
        others = [process for name, process in self.processes.items() if name != self.chief]
        for process in others:
            _signal_group(process, signal.SIGCONT)
        deadline = time.monotonic() + END_SECONDS
        for group, until in ((chief, deadline - OTHERS_SECONDS), (others, deadline)):
            for process in group:
                _signal_group(process, signal.SIGCONT)
                _signal_group(process, signal.SIGTERM)
            for process in group:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        for process in (*chief, *others):
            _signal_group(process, signal.SIGKILL)
            process.wait()
        for thread in self.copying:
            thread.join(1.0)

    def kill(self, name: str, kind: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a task, e.g. `worker 1`; if the task ends, that does not count as its failure."""
        process = self.processes[name]
        self.killed.add(process.pid)
        _signal_group(process, kind)

    def run(self, *, timeout: float = float("inf"), kill_every: float = 0, seed: int = 0) -> int:
        """Run until the chief is done, and the others have ended on their own.

        Args:
          timeout: seconds before giving up.
          kill_every: mean seconds between kills of a random task; 0 kills none.
          seed: for the random kills.
        Returns:
          The chief's exit status, or that of a task that must not be restarted.
        """
        deadline, chance = time.monotonic() + timeout, random.Random(seed)
        kill_at = time.monotonic() + kill_every if kill_every else float("inf")
        while self.chief not in self.done:
            status = self.poll()
            if status is not None:
                return status
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"the chief was not done after {timeout:.0f} s")
            if now > kill_at:
                victim = chance.choice([name for name in self.tasks if self.is_running(name)] or [self.chief])
                log.info("killing %s", victim)
                self.kill(victim)
                kill_at = now + kill_every * chance.uniform(0.5, 1.5)
            time.sleep(0.1)
        deadline = time.monotonic() + END_SECONDS
        while len(self.done) < len(self.tasks) and time.monotonic() < deadline:
            self.poll()
            time.sleep(0.1)
        if left := sorted(set(self.tasks) - set(self.done)):
            log.warning("%s did not end on its own", ", ".join(left))
        return self.done[self.chief]

    def is_running(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None and name not in self.due

    def poll(self) -> int | None:
        """Detect ended tasks and restart failed ones; return the status that ends the cluster, if there is one."""
        for name, process in self.processes.items():
            status = process.poll()
            if status is None or name in self.done or name in self.due:
                continue
            if status == 0:
                self.done[name] = status
                continue
            log.info("%s ended with status %d", name, status)
            if status == USER_ERROR_STATUS:
                return status
            if process.pid not in self.killed:
                self.failures[name] += 1
            if self.failures[name] > self.back_off_limit:
                log.error("%s has failed %d times: giving up", name, self.failures[name])
                return status
            self.due[name] = time.monotonic() + self.restart_delay
        for name, moment in list(self.due.items()):
            if time.monotonic() > moment:
                del self.due[name]
                self._start(name)
        return None

    def _start(self, name: str) -> None:
        self.processes[name] = process = self._popen(name)
        self.starts.append((time.time(), name))
        copying = threading.Thread(target=self._copy_lines, args=(name, process), daemon=True)
        copying.start()
        self.copying.append(copying)

    def _popen(self, name: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.cluster.child", str(os.getpid()), *self.arguments],
            env=environment.child_environment(self.tasks[name]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, so that Ctrl-C reaches only the launcher
        )

    def _copy_lines(self, name: str, process: subprocess.Popen) -> None:
        prefix = f"[{name}]"
        if self.output.isatty():
            prefix = f"\033[{COLOURS[list(self.tasks).index(name) % len(COLOURS)]}m{prefix}\033[0m"
        assert process.stdout is not None
        for line in process.stdout:
            if not logs.chosen().json:
                line = f"{prefix} {line}"
            elif not line.startswith("{"):  # of a native library; the task's own lines are objects with its name
                line = logs.as_json(line.rstrip("\n"), "DEFAULT", task=name) + "\n"
            self.output.write(line)
            self.output.flush()

    def _probe(self) -> None:
        """Kill workers and servers that have answered before, but no longer do."""
        from trainer.cluster import liveness

        misses: dict[int, int] = {}
        while not self.ended.wait(PROBE_SECONDS):
            for name, task in self.tasks.items():
                process = self.processes.get(name)
                if task.is_chief or task.role == "evaluator" or process is None or process.poll() is not None:
                    continue
                if liveness.answers(task.address, seconds=PROBE_SECONDS):
                    misses[process.pid] = 0
                elif process.pid in misses:
                    misses[process.pid] += 1
                    if misses[process.pid] >= self.probes:
                        log.warning("%s does not answer: killing it", name)
                        self.kill(name)


def _signal_group(process: subprocess.Popen, kind: signal.Signals) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
