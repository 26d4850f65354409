"""A server through `k8s.submit`: started, updated Pod by Pod, looked at, and removed."""

import pytest

from k8s import submit
from tests.k8s.api_server import Fault, State
from tests.k8s.submitting import submitted, trains


def pod(state: State, name: str, created: str, *log: str) -> None:
    labels = {"app.kubernetes.io/instance": "run7", "app.kubernetes.io/component": "serve"}
    metadata = {"name": name, "labels": labels, "creationTimestamp": f"2026-11-21T00:00:{created}Z"}
    container = {"restartCount": 2, "state": {"running": {}}}
    status = {"phase": "Running", "containerStatuses": [container]}
    state.put("pods", {"metadata": metadata, "spec": {"containers": [{}], "nodeName": "node-1"}, "status": status})
    state.logs[name] = [(0.0, line) for line in log]


def args(state: State) -> list[str]:
    found: list[str] = state.objects["deployments", "run7-serve"]["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def test_it_is_applied_and_not_followed(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    submitted("--storage", "volume", "--", "--model", "a=$(STORAGE)/models/a", overlay="serve")
    out = capsys.readouterr().out
    assert "run run7: applied 8 objects in namespace team" in out
    assert out.endswith("kubectl port-forward -n team deployment/run7-serve 8080\n")
    assert args(state) == ["--model", "a=$(STORAGE)/models/a"]
    target = state.objects["horizontalpodautoscalers", "run7-serve"]["spec"]["scaleTargetRef"]
    assert target["name"] == "run7-serve"


def test_the_same_again_changes_nothing_and_another_model_updates_it(
    state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted(overlay="serve")
    before = len(state.requests)
    submitted(overlay="serve")
    assert {method for method, _ in state.requests[before:]} == {"GET"}
    assert "run run7 is under way already\n" in capsys.readouterr().out
    submitted("--", "--model", "released-fast", overlay="serve")
    assert args(state) == ["--model", "released-fast"]
    assert "DELETE" not in {method for method, _ in state.requests}


def test_a_run_of_another_overlay_is_not_touched(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    submitted(overlay="tensorboard")
    submitted(overlay="serve", status=2)
    assert "is under way with other options" in capsys.readouterr().err
    assert ("deployments", "run7-serve") not in state.objects


def test_each_pod_is_listed_and_the_newest_has_the_log(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    submitted(overlay="serve")
    pod(state, "run7-serve-b", "02", "serving the newer")
    pod(state, "run7-serve-a", "01", "serving the older")
    capsys.readouterr()
    assert submit.main(["status", "--name", "run7"]) == 0
    table = capsys.readouterr().out
    assert table.index("run7-serve-a") < table.index("run7-serve-b")
    assert submit.main(["logs", "--name", "run7"]) == 0
    assert capsys.readouterr().out == "serving the newer\n"


def test_all_of_it_is_removed(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    submitted("--storage", "volume", overlay="serve")
    assert submit.main(["delete", "--name", "run7"]) == 0
    assert {plural for plural, _ in state.objects} == {"serviceaccounts", "persistentvolumeclaims"}
    assert "removed 6 objects and Pods of run run7; its storage is kept" in capsys.readouterr().out


def test_a_role_for_training_alone_is_enough_for_it(state: State) -> None:
    state.play = trains
    state.faults.append(Fault("GET", "horizontalpodautoscalers", 403, times=100))
    submitted()
    assert submit.main(["delete", "--name", "run7"]) == 0
