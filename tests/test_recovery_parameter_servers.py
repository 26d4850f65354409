"""Whatever is killed, training on parameter servers resumes from the last checkpoint and ends at the right step."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forking import Forked
from tests.recovering import EVERY, Watched
from trainer.cluster.environment import child_environment
from trainer.workdir import files

pytestmark = pytest.mark.slow

CHUNK = 16  # steps that are given out at a time, to two workers


@pytest.fixture(scope="module")
def running(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tiny_dataset, tmp_path_factory.mktemp("ps") / "run", servers=2) as watched:
        watched.go_on()
        yield watched


def test_variables_are_spread_by_bytes(running: Watched) -> None:
    (above,) = running.said(r"servers hold .* MB, up to ([\d.]+) % above the mean")[:1]
    assert float(above) <= 10


def test_a_killed_worker_stops_nobody_and_comes_back(running: Watched) -> None:
    mark = len(running.output.getvalue())
    lost, _ = running.survive("worker 0")
    running.wait_until(lambda: running.said(r"\[worker 0\] .* serves at", mark))
    assert not running.said("recovered in", mark)
    assert lost <= 10  # none; the step of the last line is ten old


@pytest.mark.parametrize("servers", [["ps 1"], ["ps 0", "ps 1"]])
def test_killed_servers_are_recovered_from_in_process(running: Watched, servers: list[str]) -> None:
    chief = running.cluster.processes["chief"].pid
    mark = len(running.output.getvalue())
    lost, _ = running.survive(*servers)
    assert running.said(r"\[chief\] .* recovered in [\d.]+ s: \d+ steps lost, from step \d+", mark), (
        running.output.getvalue()[mark:]
    )
    assert lost <= EVERY + CHUNK
    assert running.cluster.processes["chief"].pid == chief


def test_a_killed_chief_goes_on_with_the_servers_that_are_up(running: Watched) -> None:
    others = {name: running.cluster.processes[name].pid for name in ("ps 0", "ps 1", "worker 0", "worker 1")}
    mark = len(running.output.getvalue())
    lost, _ = running.survive("chief")
    assert running.said(r"\[chief\] .* from \S+/ckpt-\d+", mark)
    assert lost <= EVERY + CHUNK + 10
    assert {name: running.cluster.processes[name].pid for name in others} == others


def test_a_killed_evaluator_evaluates_what_it_missed(running: Watched) -> None:
    running.wait_until(lambda: running.said(r"\[evaluator\] .* validation"))
    mark = len(running.output.getvalue())
    lost, _ = running.survive("evaluator")
    running.wait_until(lambda: running.said(r"\[evaluator\] .* validation", mark))
    assert lost <= 10


@pytest.mark.parametrize("name", ["worker 1", "ps 1"])
def test_a_stopped_one_is_found_by_its_probe(running: Watched, name: str) -> None:
    stopped = running.cluster.processes[name]
    running.cluster.kill(name, signal.SIGSTOP)
    running.wait_until(lambda: running.cluster.processes[name] is not stopped)
    running.go_on()


def test_all_at_once(running: Watched) -> None:
    lost, _ = running.survive(*running.cluster.tasks)
    assert lost <= EVERY + CHUNK + 10


def test_a_second_chief_is_refused(running: Watched) -> None:
    environment = child_environment(running.cluster.tasks["chief"])
    second = Forked("trainer.train", running.cluster.arguments, environment)
    status, said = second.wait(120), second.stdout.read()
    assert status == 42, said
    assert "is in use by process" in said


def test_sigterm_saves_and_each_task_exits_143(running: Watched) -> None:
    running.go_on()
    for name in ("chief", "evaluator", "worker 0", "ps 0"):
        process = running.cluster.processes[name]
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143, name
        if name == "chief":
            (step,) = map(int, running.said(r"stopped by SIGTERM at step (\d+)"))
            assert running.saved() == step
    running.go_on()


def test_sigterm_to_all_at_once_ends_all(running: Watched) -> None:
    """The chief cannot save without its servers, and must not wait for them either."""
    processes = dict(running.cluster.processes)
    for process in processes.values():
        os.kill(process.pid, signal.SIGTERM)
    assert {name: process.wait(90) for name, process in processes.items()} == dict.fromkeys(processes, 143)
    running.go_on()


def test_the_end_comes_to_all_and_at_the_right_step(running: Watched, tiny_dataset: Path) -> None:
    """A restart on the same work folder, after all the faults above."""
    running.cluster.__exit__()
    assert int(running.said(r"stopped by SIGTERM at step (\d+)")[-1]) == running.saved()
    steps = running.saved() + 3 * EVERY + 7
    with Watched(tiny_dataset, running.workdir, steps=steps, servers=2) as watched:
        assert watched.cluster.run(timeout=300) == 0
        assert watched.cluster.done == dict.fromkeys(watched.cluster.tasks, 0)
    assert watched.saved() == steps == watched.finished()["step"]
    evaluated = [row["step"] for row in files.read_metrics(str(running.workdir)) if row["kind"] == "validation"]
    assert evaluated[-1] == steps


def test_counts_are_exact_and_a_stopped_worker_is_left_out(tiny_dataset: Path, tmp_path: Path) -> None:
    """Without probes, as if the network hung: the watchdog notices, and training continues with the others."""
    flags = "--hang-timeout 6 --wait 20"
    with Watched(tiny_dataset, tmp_path / "run", steps=500, servers=2, flags=flags, probes=0) as watched:
        watched.go_on()
        watched.cluster.kill("worker 1", signal.SIGSTOP)
        watched.wait_until(lambda: watched.said("no answer from worker 1 .* exiting with status 41"))
        watched.wait_until(lambda: watched.said("continuing without worker 1"))
        watched.go_on()
        watched.cluster.kill("worker 1", signal.SIGCONT)
        watched.wait_until(lambda: watched.said(r"worker 1 \(\S+\) answers again"))
        assert watched.cluster.run(timeout=300) == 0
    assert not watched.said("updates were lost")
    assert watched.saved() == 500


def test_too_few_workers_end_it_with_a_clear_message(tiny_dataset: Path, tmp_path: Path) -> None:
    flags = "--wait 15 --min-workers 2"
    watched = Watched(tiny_dataset, tmp_path / "run", servers=1, flags=flags, back_off_limit=0)
    del watched.cluster.tasks["worker 1"]  # it never comes
    with watched:
        assert watched.cluster.run(timeout=120) == 42
    assert watched.said(
        r"\[chief\] no answer from worker 1 \(\S+\) within 15 s: look at their logs; at least 2 workers"
    )
