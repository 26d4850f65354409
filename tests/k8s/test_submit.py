"""k8s.submit through its command line, against an API server over HTTP, and a real one where KUBECONFIG is set."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import kube_config

from k8s import check, client, render, submit, watch
from k8s.render import Choices
from tests.k8s import api_server
from tests.k8s.api_server import Fault, Object, State, ended, waiting

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test, namespace: team}}}}]
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{token: {token}}}}}]
"""
REAL = os.environ.get("KUBECONFIG")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A cluster that kubectl's configuration names."""
    state = State()
    monkeypatch.setattr(client, "PAUSE", 0.02)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 1.0)
    monkeypatch.setattr(check, "VERSIONS", check.VERSIONS[-1:])  # each takes a quarter of a second
    with api_server.serve(state) as url:
        configure(tmp_path, monkeypatch, url)
        yield state


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, token: str = api_server.TOKEN) -> None:
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG.format(url=url, token=token))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def trains(state: State, job: Object) -> None:
    """A Job of one or more Pods that ends well."""
    size = job["spec"]["completions"]
    for index in range(size):
        state.pod(job, index, "Pending")
    for index in range(size):
        name = state.pod(job, index, "Running")
        state.logs[name] = [(0.0, f"step {step}/3  left 0:00:0{3 - step}") for step in range(1, 4)]
    time.sleep(0.3)
    for index in range(size):
        state.pod(job, index, "Succeeded", **ended(0, "Completed"))
    state.end(job, "Complete")


def submitted(*args: object, overlay: str = "local", status: int = 0) -> None:
    words = ["--overlay", overlay, "--name", "run7", *map(str, args)]
    assert submit.main(words) == status


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
    assert len(applied) == 9
    assert all("fieldValidation=Strict" in path for path in applied)


def test_the_chief_and_the_evaluator_decide(state: State) -> None:
    """Servers that linger do not keep the run from being over."""

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
    assert "ran out of memory: it may have 8Gi" in out
    row = next(line for line in out.splitlines() if "run7-trainer-0 " in line and "node-1" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][:3] == ["run7-trainer-0", "Succeeded", "1"]


def test_a_log_that_is_cut_off_goes_on_with_each_line_once(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    def play(state: State, job: Object) -> None:
        name = state.pod(job, 0, "Running")
        state.logs[name] = [(0.0, "one"), (0.0, None), (0.2, "three")]
        time.sleep(1.5)
        state.pod(job, 0, "Succeeded", **ended(0))
        state.end(job, "Complete")

    state.play = play
    submitted()
    out = capsys.readouterr().out
    assert [out.count(word) for word in ("one", "after the cut", "three")] == [1, 1, 1]
    assert out.count("after th") == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("GET", "jobs", 401, "Unauthorized"), "does not know you (401 Unauthorized): log in again"),
        (
            Fault("PATCH", "services/run7", 403, 'User "x" cannot patch'),
            "may not apply (patch and create) services/run7",
        ),
        (Fault("GET", "pods", 403, 'User "x" cannot list'), "may not get and list pods in namespace team"),
        (Fault("PATCH", "claims", 403, "exceeded quota: disk"), "quota does not allow it: exceeded quota: disk"),
        (
            Fault("PATCH", "jobs/", 404, 'namespaces "team" not found'),
            "is there such a namespace, and is Job installed?",
        ),
        (Fault("PATCH", "configmaps", 409, "conflict with kubectl"), "held by somebody else"),
        (Fault("PATCH", "jobs/", 422, "field is immutable"), "refuses jobs/run7-trainer in namespace team: field is"),
        (Fault("PATCH", "jobs/", 500, "etcd", times=99), "failed to apply (patch and create) jobs/run7-trainer"),
    ],
)
def test_refusals_say_what_to_do(state: State, capsys: pytest.CaptureFixture[str], fault: Fault, message: str) -> None:
    state.play = trains
    state.faults = [fault]
    submitted(status=2)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(state: State, status: int) -> None:
    state.play = trains
    state.faults = [Fault("PATCH", "jobs/", status, times=2), Fault("GET", "/pods?", status, times=3)]
    submitted()


def test_a_watch_may_fail_and_end(state: State) -> None:
    state.play = trains
    state.faults = [Fault("GET", "watch=1", 500, times=3), Fault("GET", "watch=1", 410, "too old", times=3)]
    submitted()


def unschedulable(message: str) -> dict:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "no node has enough nvidia.com/gpu",
        ),
        (unschedulable("0/3 nodes are available: 3 node(s) had untolerated taint."), "no node takes it"),
        (waiting("ImagePullBackOff", "not found"), "image svhn-trainer:0.1.0 cannot be pulled: not found"),
        (waiting("CreateContainerConfigError", 'configmap "x" not found'), 'cannot start: configmap "x" not found'),
    ],
)
def test_what_cannot_start_is_explained_and_given_up(
    state: State, capsys: pytest.CaptureFixture[str], status: dict, message: str
) -> None:
    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Pending", **status)

    state.play = play
    submitted("--give-up", 0.5, status=2)
    captured = capsys.readouterr()
    assert message in captured.err
    assert "the same command watches on" in captured.err
    assert message in " ".join(captured.out.split())
    assert ("jobs", "run7-trainer") in state.objects


def test_a_quota_that_forbids_pods_is_explained(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Job", "name": "run7-trainer"},
        "reason": "FailedCreate",
        "message": "exceeded quota: team, requested: cpu=2",
    }
    state.put("events", event)
    submitted("--give-up", 0.3, status=2)
    assert "no Pod can be made: exceeded quota: team, requested: cpu=2; ask for less" in capsys.readouterr().err


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
    state.play, state.linger = trains, 0.7
    submitted()
    there: list[bool] = []

    def play(state: State, job: Object) -> None:
        there.extend(kind == "pods" for kind, _ in list(state.objects) if kind == "pods")
        trains(state, job)

    state.play = play
    submitted()
    assert there == []
    methods = [method for method, _ in state.requests]
    assert methods.index("DELETE") < len(methods) - methods[::-1].index("PATCH") - 1


def test_status_logs_and_delete(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.play = trains
    submitted()
    capsys.readouterr()
    assert submit.main(["status", "--name", "run7"]) == 0
    assert "run7-trainer-0" in capsys.readouterr().out
    assert submit.main(["logs", "--name", "run7"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "step 3/3  left 0:00:00"
    assert submit.main(["delete", "--name", "run7"]) == 0
    assert "the storage stays" in capsys.readouterr().out
    assert {kind for kind, _ in state.objects} == {"serviceaccounts", "persistentvolumeclaims"}
    assert submit.main(["status", "--name", "run7"]) == 2
    assert "there is no run run7 in namespace team" in capsys.readouterr().err


def test_without_a_cluster_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    submitted(status=2)
    assert "no cluster is configured" in capsys.readouterr().err
    monkeypatch.setattr(client, "PAUSE", 0.01)
    configure(tmp_path, monkeypatch, "http://127.0.0.1:9")
    submitted(status=2)
    err = capsys.readouterr().err
    assert "http://127.0.0.1:9 cannot be reached" in err
    assert len(err.splitlines()) == 1


def test_a_wrong_token_is_refused(state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    location = Path(kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    location.write_text(location.read_text().replace(api_server.TOKEN, "wrong"))
    submitted(status=2)


def test_a_dry_run_prints_and_needs_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    submitted("--dry-run", "--workers", 4, overlay="multi-worker")
    expected = render.render("multi-worker", Choices("run7", (("CLUSTER_WORKERS", 4), ("BACKOFF_LIMIT", 40))))
    assert capsys.readouterr().out == render.to_yaml(expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--overlay is missing"),
        (["status"], "--name is missing"),
        (["--overlay", "local", "--workers", "0"], "must be at least 1"),
        (["--overlay", "local", "--servers", "1"], "no CLUSTER_SERVERS to change"),
        (["--overlay", "multi-worker", "--servers", "1", "--dry-run"], "is not sound"),
    ],
)
def test_mistakes_end_in_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.main(args) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(not REAL, reason="KUBECONFIG names no cluster")
@pytest.mark.parametrize("overlay", [name for name in render.names("overlays") if name != "jobset"])
def test_a_real_api_server_takes_it(overlay: str) -> None:
    """It validates all, enums and rules between fields, too, and changes nothing."""
    manifest = render.to_yaml(render.render(overlay, Choices(name="dry-run")))
    command = ["kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", "-"]
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, env=dict(os.environ), timeout=60)
    assert done.returncode == 0, done.stderr
