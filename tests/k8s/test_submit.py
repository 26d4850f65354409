"""k8s.submit through its command line, against an API server over HTTP."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import kube_config

from k8s import render, submit, watch
from k8s.render import Choices
from tests.k8s.api_server import Fault, Object, State, ended
from tests.k8s.submitting import submitted, trains


def test_a_run_is_applied_followed_and_ended(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.play = trains
    submitted("--workers", 2, "--", "--experiment", "smoke", "--data", "/storage/x", overlay="multi-worker")
    out = capsys.readouterr().out
    assert out.count("step 1/3") == out.count("step 3/3") == 1
    assert out.index("step 1/3") < out.index("step 2/3") < out.index("step 3/3")
    assert "run run7: Complete" in out
    assert "run7-worker-1" in out
    job = state.objects["jobs", "run7-worker"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["--experiment", "smoke", "--data", "/storage/x"]
    applied = [path for method, path in state.requests if method == "PATCH"]
    assert len(applied) == 8
    assert all("fieldValidation=Strict" in path for path in applied)


def test_the_chief_and_the_evaluator_decide(state: State) -> None:
    """A run is complete even if its servers are still running."""

    def play(state: State, job: Object) -> None:
        if job["metadata"]["name"] in ("run7-worker", "run7-ps"):
            state.pod(job, 0, "Running")
        else:
            trains(state, job)

    state.play = play
    submitted(overlay="parameter-server")


@pytest.mark.parametrize(("code", "status"), [(2, 2), (42, 1)])
def test_a_run_ends_as_its_job_does(state: State, capsys: pytest.CaptureFixture[str], code: int, status: int) -> None:
    def play(state: State, job: Object) -> None:
        name = state.pod(job, 0, "Failed", **ended(code))
        state.logs[name] = [(0.0, "error: there is no dataset")]
        state.end(job, "Failed", reason="PodFailurePolicy", message=f"exit code {code}")

    state.play = play
    submitted(status=status)
    out = capsys.readouterr().out
    assert f"run7-trainer failed: PodFailurePolicy: exit code {code}" in out.replace("\n", " ")
    assert "error: there is no dataset" in out


def test_restarts_are_counted_and_all_logs_shown(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    def play(state: State, job: Object) -> None:
        first = state.pod(job, 0, "Running")
        state.logs[first] = [(0.0, "before")]
        time.sleep(1.0)
        state.pod(job, 0, "Failed", **ended(137, "OOMKilled"))
        time.sleep(1.0)
        second = state.pod(job, 0, "Running", attempt=1)
        state.logs[second] = [(0.0, "after")]
        time.sleep(1.0)
        state.pod(job, 0, "Succeeded", attempt=1, **ended(0))
        state.end(job, "Complete")

    state.play = play
    submitted()
    out = capsys.readouterr().out
    assert out.count("before") == out.count("after") == 1
    assert "ran out of memory, limit 8Gi" in out
    row = next(line for line in out.splitlines() if "run7-trainer-0 " in line and "node-1" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][:3] == ["run7-trainer-0", "Succeeded", "1"]


def test_the_same_command_again_follows_what_is_under_way(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = threading.Event()
    follow = watch.follow

    def followed_again(*args: Any, **options: Any) -> int:
        followed.set()
        return follow(*args, **options)

    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Running")
        followed.wait(60)
        state.end(job, "Complete")

    state.play = play
    first = threading.Thread(target=submitted)
    first.start()
    while ("pods", "run7-trainer-0-0") not in state.objects:
        time.sleep(0.05)
    before = len([1 for method, _ in state.requests if method == "PATCH"])
    submitted("--", "--data", "other", status=2)
    monkeypatch.setattr(watch, "follow", followed_again)
    submitted()
    first.join()
    captured = capsys.readouterr()
    assert "run run7 is under way with other options" in captured.err
    assert "is under way already: following it" in captured.out
    assert len([1 for method, _ in state.requests if method == "PATCH"]) == before


def test_a_run_again_waits_until_its_old_pods_are_gone(state: State) -> None:
    state.play, state.linger = trains, {"jobs": 0.7, "configmaps": 1.2}
    submitted()
    there: list[bool] = []

    def play(state: State, job: Object) -> None:
        there.extend(kind == "pods" for kind, _ in list(state.objects) if kind == "pods")
        trains(state, job)

    state.play = play
    submitted()
    assert there == []
    assert state.dying == []
    methods = [method for method, _ in state.requests]
    assert methods.index("DELETE") < len(methods) - methods[::-1].index("PATCH") - 1


def test_what_kubectl_has_started_is_left_alone(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = [found for found in render.render("local", Choices("run7")) if found["kind"] == "Job"]
    state.put("jobs", job)
    state.pod(job, 0, "Running")
    submitted(status=2)
    assert "run run7 is under way with other options, or was started by kubectl" in capsys.readouterr().err
    assert [method for method, _ in state.requests if method != "GET"] == []


def test_what_was_applied_in_part_is_applied_to_its_end(state: State) -> None:
    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Running")
        while ("jobs", "run7-evaluator") not in state.objects:
            time.sleep(0.05)
        trains(state, job)

    state.play = play
    state.faults = [Fault("PATCH", "jobs/run7-ps", 403, "not yet")]
    submitted(overlay="parameter-server", status=2)
    submitted(overlay="parameter-server")
    assert ("jobs", "run7-ps") in state.objects
    assert "DELETE" not in {method for method, _ in state.requests}


def test_status_logs_and_delete(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.play = trains
    submitted()
    capsys.readouterr()
    assert submit.main(["status", "--name", "run7"]) == 0
    assert "run7-trainer-0" in capsys.readouterr().out
    assert submit.main(["logs", "--name", "run7"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "step 3/3  left 0:00:00"
    assert submit.main(["delete", "--name", "run7"]) == 0
    assert "its storage is kept" in capsys.readouterr().out
    assert {kind for kind, _ in state.objects} == {"serviceaccounts", "persistentvolumeclaims"}
    assert submit.main(["status", "--name", "run7"]) == 2
    assert "run run7 does not exist in namespace team" in capsys.readouterr().err


def test_a_dry_run_prints_and_needs_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    submitted("--dry-run", "--workers", 4, "--restarts", 3, overlay="multi-worker")
    expected = render.render("multi-worker", Choices("run7", (("CLUSTER_WORKERS", 4), ("BACKOFF_LIMIT", 3))))
    assert capsys.readouterr().out == render.to_yaml(expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--overlay is missing"),
        (["status"], "--name is missing"),
        (["--overlay", "local", "--workers", "0"], "--workers: 0: give a whole number, at least 1"),
        (["--overlay", "multi-worker", "--restarts", "-1"], "--restarts: -1: give a whole number, at least 0"),
        (["--overlay", "local", "--parameter-servers", "1"], "no CLUSTER_SERVERS to change"),
        (["--overlay", "multi-worker", "--parameter-servers", "1", "--dry-run"], "no CLUSTER_SERVERS to change"),
    ],
)
def test_mistakes_end_in_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.main(args) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
