"""What `k8s.submit` says of runs: restarts, logs, removal, TensorBoard, and what it leaves for kubectl."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from k8s import render, run, submit
from k8s.client import LAST_APPLIED, connect
from k8s.render import Choices
from tests.k8s.api_server import Fault, Object, State
from tests.k8s.submitting import submitted, trains


def rows(out: str) -> list[list[str]]:
    """Return the cells of the rows of the last table printed."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]


def test_restarts_count_pods_that_no_longer_exist(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """A Pod that was deleted or evicted is gone, and with it its own count; its successor's annotations remain."""

    def play(state: State, job: Object) -> None:
        trains(state, job)
        for name, counts in (("run7-worker-0-0", ("2", "3")), ("run7-worker-1-0", ("1", None))):
            notes = zip(("failure", "ignored-failure"), counts, strict=True)
            annotations = {f"batch.kubernetes.io/job-index-{word}-count": count for word, count in notes if count}
            pod = state.objects["pods", name]
            state.put("pods", {**pod, "metadata": {**pod["metadata"], "annotations": annotations}})

    state.play = play
    submitted("--workers", 2, overlay="multi-worker")
    capsys.readouterr()
    assert submit.main(["status", "--name", "run7"]) == 0
    restarts = {cells[0]: cells[2] for cells in rows(capsys.readouterr().out)}
    assert restarts == {"run7-worker-0": "5", "run7-worker-1": "1"}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({}, "run run7 has no log yet: run7-trainer-0-0 is Pending; see status"),
        (
            {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "1 Insufficient cpu."}]},
            "run run7 has no log yet: run7-trainer-0-0 is unschedulable: no node has enough cpu (1 Insufficient cpu)",
        ),
    ],
)
def test_the_log_of_a_pod_that_has_not_started(
    state: State, capsys: pytest.CaptureFixture[str], status: dict, message: str
) -> None:
    (job,) = [found for found in render.render("local", Choices("run7")) if found["kind"] == "Job"]
    state.put("jobs", job)
    state.pod(job, 0, "Pending", **status)
    assert submit.main(["logs", "--name", "run7"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_deleting_says_what_is_left_and_a_second_time_that_nothing_is(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    state.play, state.linger = trains, {"jobs": 0.5, "configmaps": 1.5}
    submitted()
    capsys.readouterr()
    assert submit.main(["delete", "--name", "run7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("removing run run7: 1 Pods and ")
    assert "removing run run7: 0 Pods and 1 other objects left (run7-local)" in lines
    assert lines[-1] == "removed 6 objects and Pods of run run7; its storage is kept"
    assert submit.main(["delete", "--name", "run7"]) == 2
    assert "error: run run7 does not exist in namespace team" in capsys.readouterr().err


def test_starting_again_says_that_it_removes_the_earlier_run(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    state.play = trains
    submitted()
    submitted()
    assert capsys.readouterr().out.count("removing what an earlier run left under the name run7") == 1


def test_tensorboard_again_is_left_as_it_is(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    submitted(overlay="tensorboard")
    before = list(state.requests)
    submitted(overlay="tensorboard")
    assert {method for method, _ in state.requests[len(before) :]} == {"GET"}
    assert "run run7 is under way already\n" in capsys.readouterr().out
    submitted("--image", "registry/trainer:1", overlay="tensorboard", status=2)
    assert "is under way with other options" in capsys.readouterr().err


def test_a_quota_error_that_names_a_new_pod_each_time_is_one_line(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(state: State, job: Object) -> None:
        for number in range(8):
            message = (
                f'Error creating: pods "run7-trainer-0-{number}" is forbidden: exceeded quota: team, used: pods=2.'
            )
            about = {"kind": "Job", "name": "run7-trainer"}
            event = {"involvedObject": about, "reason": "FailedCreate", "message": message}
            state.put("events", {"metadata": {"name": f"e{number}"}, **event})
            time.sleep(0.3)
        trains(state, job)

    state.play = play
    submitted()
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("exceeded quota") == 1
    assert "run7-trainer: Pods cannot be created: exceeded quota: team, used: pods=2; request less" in out


def test_what_is_applied_bears_the_annotation_that_kubectl_apply_looks_for(state: State) -> None:
    state.play = trains
    submitted()
    for (plural, name), found in state.objects.items():
        if plural not in ("pods", "jobs"):  # the latter were replaced when the Job ended
            annotations = dict(found["metadata"]["annotations"])
            last = json.loads(annotations.pop(LAST_APPLIED))
            assert last["metadata"].get("annotations", {}) == annotations, name
            assert last == {**found, "metadata": last["metadata"]}


def test_kubectl_apply_does_not_warn_of_what_submit_applied(state: State, tmp_path: Path) -> None:
    state.play, state.open = lambda state, job: state.end(job, "Complete"), True
    submitted()
    config = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    done = subprocess.run(
        [render.kubectl(), "apply", "--kubeconfig", config, "--cache-dir", tmp_path, "--validate=false", "-f", "-"],
        input=render.to_yaml(render.render("local", Choices("run7"))),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert all(line.endswith((" configured", " unchanged")) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == 7


def test_what_kubectl_has_applied_keeps_its_annotation(state: State) -> None:
    state.play = trains
    state.faults = [Fault("PATCH", "serviceaccounts/", 409, "conflict with kubectl-client-side-apply")]
    submitted()
    assert LAST_APPLIED not in state.objects["serviceaccounts", "svhn"]["metadata"].get("annotations", {})


def test_a_removal_that_does_not_end_is_reported(state: State) -> None:
    state.play, state.linger = trains, {"configmaps": 30.0}
    submitted()
    told: list[str] = []
    with pytest.raises(submit.UserError, match="after 1 s not removed: run7-local; see kubectl describe"):
        run.remove(connect(None), "run7", told.append, seconds=1.0)
    assert told == sorted(set(told), key=told.index)
