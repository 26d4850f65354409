"""Whatever is killed, synchronous workers resume together from the last checkpoint and end at the right step."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovering import EVERY, Watched

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tiny_dataset, tmp_path_factory.mktemp("sync") / "run", flags="--hang-timeout 20") as watched:
        watched.go_on()
        yield watched


@pytest.mark.parametrize("names", [["worker 1"], ["worker 0"], ["worker 0", "worker 1"]])
def test_killed_workers_are_restarted_together(running: Watched, names: list[str]) -> None:
    mark = len(running.output.getvalue())
    lost, _ = running.survive(*names)
    assert running.said(r"\[worker 0\] .* from \S+/ckpt-\d+", mark)
    assert lost <= EVERY + 10


def test_a_stopped_worker_is_found_by_its_probe(running: Watched) -> None:
    stopped = running.cluster.processes["worker 1"]
    running.cluster.kill("worker 1", signal.SIGSTOP)
    running.wait_until(lambda: running.cluster.processes["worker 1"] is not stopped)
    running.go_on()


def test_sigterm_to_one_saves_and_stops_all_at_the_same_step(running: Watched) -> None:
    processes = [running.cluster.processes[name] for name in ("worker 0", "worker 1")]
    os.kill(processes[1].pid, signal.SIGTERM)
    assert [process.wait(60) for process in processes] == [143, 143]
    steps = {int(step) for step in running.said(r"stopped by SIGTERM at step (\d+)")}
    assert steps == {running.saved()}
    running.go_on()


def test_a_torn_checkpoint_is_passed_over_and_the_end_is_exact(running: Watched, tiny_dataset: Path) -> None:
    running.cluster.__exit__()
    assert int(running.said(r"stopped by SIGTERM at step (\d+)")[-1]) == running.saved()
    newest = running.workdir / "checkpoints" / f"ckpt-{running.saved()}.data-00000-of-00001"
    os.truncate(newest, newest.stat().st_size // 2)
    steps = running.saved() + 2 * EVERY + 7
    with Watched(tiny_dataset, running.workdir, steps=steps) as watched:
        assert watched.cluster.run(timeout=300) == 0
        assert watched.cluster.done == {"worker 0": 0, "worker 1": 0}
    assert watched.said("cannot be read .* trying the previous one")
    assert watched.saved() == steps == watched.finished()["step"]
