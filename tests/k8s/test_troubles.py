"""Faults of a cluster or the connection to it are retried, or reported in one line that says what to do."""

import time
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from k8s import client
from tests.k8s import api_server
from tests.k8s.api_server import Fault, Object, State, ended, waiting
from tests.k8s.submitting import submitted, trains


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
        (Fault("GET", "jobs", 401, "Unauthorized"), "authentication failed (401 Unauthorized): log in again"),
        (
            Fault("PATCH", "services/run7", 403, 'User "x" cannot patch'),
            "may not apply (patch and create) services/run7",
        ),
        (Fault("GET", "pods", 403, 'User "x" cannot list'), "may not get and list pods in namespace team"),
        (Fault("PATCH", "claims", 403, "exceeded quota: disk"), "quota does not allow it: exceeded quota: disk"),
        (
            Fault("PATCH", "jobs/", 404, 'namespaces "team" not found'),
            "does the namespace exist, and is Job installed?",
        ),
        (Fault("PATCH", "configmaps", 409, "conflict with kubectl", times=2), "managed by somebody else"),
        (Fault("PATCH", "claims", 422, "spec is immutable"), "all runs share it: make its file match the cluster"),
        (Fault("PATCH", "jobs/", 422, "field is immutable"), "rejected jobs/run7-trainer in namespace team: field is"),
        (Fault("GET", "jobs", 200), "did not answer in JSON"),
    ],
)
def test_refusals_say_what_to_do(state: State, capsys: pytest.CaptureFixture[str], fault: Fault, message: str) -> None:
    state.play = trains
    state.faults = [fault]
    submitted(status=2)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_what_passes_is_tried_again(state: State, status: int) -> None:
    state.play = trains
    date = "Sat, 21 Nov 2026 00:00:00 GMT"  # as a proxy may write it
    state.faults = [Fault("PATCH", "jobs/", status, times=2, retry_after=date), Fault("GET", "/pods?", status, times=3)]
    submitted()


def test_a_watch_may_fail_and_end(state: State) -> None:
    state.faults = [Fault("GET", "watch=", status, times=2) for status in (500, 410, 0)]

    def play(state: State, job: Object) -> None:
        state.pod(job, 0, "Running")
        deadline = time.monotonic() + 60
        while any(fault.times for fault in state.faults) and time.monotonic() < deadline:
            time.sleep(0.05)
        trains(state, job)

    state.play = play
    submitted()
    assert [fault.times for fault in state.faults] == [0, 0, 0]


@pytest.mark.parametrize(
    ("status", "message"), [(0, "cannot be reached"), (403, "may not get"), (500, "failed to get")]
)
def test_a_log_that_is_refused_is_asked_for_again(
    state: State, capsys: pytest.CaptureFixture[str], status: int, message: str
) -> None:
    state.play = trains
    # What may pass is tried again without a word, until it lasts.
    state.faults = [Fault("GET", "/log?", status, times=2 if status == 403 else client.TRIES + 2)]
    submitted()
    out = capsys.readouterr().out
    assert out.count("log not available: ") == 1
    assert message in out
    assert out.count("step 1/3") == out.count("step 3/3") == 1


@pytest.mark.parametrize("words", ["there is no role for you", "waiting to start the authorizer"])
def test_the_words_of_a_refusal_do_not_end_the_log(
    state: State, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    state.play = trains
    state.faults = [Fault("GET", "/log?", 403, words, times=2)]
    submitted()
    out = capsys.readouterr().out
    assert out.count(f"({words})") == 1
    assert out.count("step 1/3") == out.count("step 3/3") == 1


def test_a_run_that_is_removed_is_not_followed_for_ever(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    def play(state: State, job: Object) -> None:
        name = state.pod(job, 0, "Running")
        time.sleep(0.5)
        state.drop("jobs", job["metadata"]["name"])
        state.drop("pods", name)

    state.play = play
    submitted(status=2)
    assert "run run7 no longer exists: somebody has removed it" in capsys.readouterr().err


def unschedulable(message: str) -> dict:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "no node has enough nvidia.com/gpu (0/3 nodes are available: 3 Insufficient nvidia.com/gpu); request less",
        ),
        (unschedulable("0/3 nodes are available: 3 node(s) had untolerated taint."), "no node accepts it"),
        (
            unschedulable(
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are "
                "available: 1 Preemption is not helpful for scheduling."
            ),
            "its volume is not bound (0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling); see kubectl describe "
            "pvc svhn-storage: does the cluster have a default storage class?",
        ),
        (waiting("ImagePullBackOff", "not found"), "image svhn-trainer:0.1.0 cannot be pulled: not found"),
        (
            waiting("CreateContainerConfigError", 'configmap "x" not found.'),
            'cannot start: configmap "x" not found; this has lasted',
        ),
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
    assert "repeat the command to follow it" in captured.err
    assert message.partition("; this")[0] in " ".join(captured.out.split())
    assert ("jobs", "run7-trainer") in state.objects


def test_a_problem_whose_words_change_is_given_up_on(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """The kubelet alternates between pulling the image and waiting to retry."""

    def play(state: State, job: Object) -> None:
        while ("jobs", "run7-trainer") in state.objects:
            for reason, message in (("ErrImagePull", "not found"), ("ImagePullBackOff", "Back-off pulling")):
                state.pod(job, 0, "Pending", **waiting(reason, message))
                time.sleep(0.3)

    state.play = play
    submitted("--give-up", 2, status=2)
    state.drop("jobs", "run7-trainer")
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("cannot be pulled: not found") == out.count("cannot be pulled: Back-off pulling") == 1


def test_workers_that_failed_for_good_are_told_of(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """The chief waits for them, and would not say why."""

    def play(state: State, job: Object) -> None:
        if job["metadata"]["name"] == "run7-worker":
            state.pod(job, 0, "Failed", **ended(1))
            state.end(job, "Failed", reason="MaxFailedIndexesExceeded", message="too often")
        else:
            state.pod(job, 0, "Running")

    state.play = play
    submitted("--give-up", 1, overlay="parameter-server", status=2)
    assert "run7-worker failed: MaxFailedIndexesExceeded: too often; see kubectl logs job/run7-worker" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("made", [0, 1])
def test_a_quota_that_forbids_pods_is_explained(state: State, capsys: pytest.CaptureFixture[str], made: int) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Job", "name": "run7-worker"},
        "reason": "FailedCreate",
        "message": "exceeded quota: team, requested: cpu=2",
    }
    state.put("events", event)

    def play(state: State, job: Object) -> None:
        for index in range(made):
            state.pod(job, index, "Running")

    state.play = play
    submitted("--give-up", 0.3, overlay="multi-worker", status=2)
    assert "Pods cannot be created: exceeded quota: team, requested: cpu=2; request less" in capsys.readouterr().err


def test_without_a_cluster_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none"
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    for text in (None, "kind: Config", "{"):
        if text:
            path.write_text(text)
        submitted(status=2)
        err = capsys.readouterr().err
        assert "no cluster is configured" in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ('{command: "/bin/sh", args: [-c, "echo not logged in. >&2; exit 1"]', "process returned 1. not logged in."),
        ("{command: no-such-auth-plugin", "No such file or directory: 'no-such-auth-plugin'"),
        ('{command: "/bin/echo"', "failed to decode process output"),
    ],
)
def test_a_credential_plugin_that_fails_is_named(
    state: State, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    location = Path(kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    plugin = f"exec: {command}, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}"
    location.write_text(location.read_text().replace(f"token: {api_server.TOKEN}", plugin))
    submitted(status=2)
    err = capsys.readouterr().err
    assert "kubectl's credential plugin failed (" in err
    assert message in err
    assert len(err.splitlines()) == 1
    assert state.requests == []


def test_a_wrong_token_is_refused(state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    location = Path(kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    location.write_text(location.read_text().replace(api_server.TOKEN, "wrong"))
    submitted(status=2)
