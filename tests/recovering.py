"""A local cluster for the recovery tests: progress is read from what its tasks print."""

import io
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tests.forking import ForkedCluster

EVERY = 20  # steps between checkpoints
LIGHT = ("model.max_length=2", "tensorboard.images=false")  # each restart traces the graphs again
NOTICED = 1.0  # seconds after which no step from before a loss is logged any more
STEP = re.compile(r"^\[(?:chief|worker 0)\] \S+ step (\d+)/", re.M)


class Watched:
    """A cluster that trains `smoke`; its methods wait for events."""

    def __init__(
        self, data: Path, workdir: Path, *, steps: int = 1_000_000, servers: int = 0, flags: str = "", **options
    ):
        self.workdir, self.output = workdir, io.StringIO()
        arguments = ["--experiment", "smoke", "--data", str(data), "--workdir", str(workdir), "--wait", "60"]
        arguments += [*flags.split(), "--set", f"train.steps={steps}", f"train.checkpoint_every={EVERY}"]
        arguments += ["train.log_every=10", "train.evaluate_every=1000", *LIGHT]
        evaluators = 1 if servers else 0
        options = {"back_off_limit": 20, "restart_delay": 0.5, **options}
        self.cluster = ForkedCluster(
            arguments, workers=2, servers=servers, evaluators=evaluators, output=self.output, **options
        )

    def __enter__(self) -> "Watched":
        self.cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.cluster.__exit__(*error)
        if error[0]:
            sys.stderr.write(self.output.getvalue()[-20_000:])

    def wait_until(self, done: Callable[[], object], *, timeout: float = 180) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            status = self.cluster.poll()
            assert status is None, f"a task ended the cluster with status {status}"
            assert time.monotonic() < deadline, f"not within {timeout} s"
            time.sleep(0.1)

    def said(self, pattern: str, since: int = 0) -> list[str]:
        return re.findall(pattern, self.output.getvalue()[since:], re.M)

    def steps(self, since: int = 0) -> list[int]:
        return [int(step) for step in STEP.findall(self.output.getvalue()[since:])]

    def saved(self) -> int:
        """Return the step of the newest checkpoint, 0 if none exists."""
        newest = tf.train.latest_checkpoint(str(self.workdir / "checkpoints"))
        return int(newest.rpartition("-")[2]) if newest else 0

    def go_on(self, beyond: int = EVERY) -> None:
        """Wait until the cluster has saved a later checkpoint."""
        wanted = self.saved() + beyond
        self.wait_until(lambda: self.saved() >= wanted)

    def survive(self, *names: str) -> tuple[int, float]:
        """Kill tasks, wait until training resumes, and return the steps lost and the seconds it took."""
        begin, killed = time.monotonic(), len(self.output.getvalue())
        for name in names:
            self.cluster.kill(name)
        for name in names:  # until then it counts as running
            self.cluster.processes[name].wait()
        time.sleep(NOTICED)
        mark, before = len(self.output.getvalue()), self.steps()[-1]
        self.wait_until(lambda: all(self.cluster.is_running(name) for name in names))
        self.go_on()
        self.wait_until(lambda: self.steps(mark))
        told = map(int, self.said(r"recovered in .*: (\d+) steps lost", killed))
        lost = max([before - self.steps(mark)[0] + 10, *told, 0])
        return lost, time.monotonic() - begin

    def finished(self) -> dict:
        return json.loads((self.workdir / "FINISHED").read_text())
