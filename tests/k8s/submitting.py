"""Submits runs through the command line to the cluster that kubectl's configuration names."""

import time
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from k8s import submit
from tests.k8s import api_server
from tests.k8s.api_server import Object, State, ended

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test, namespace: team}}}}]
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{token: {token}}}}}]
"""


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, token: str = api_server.TOKEN) -> None:
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG.format(url=url, token=token))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def trains(state: State, job: Object) -> None:
    """Simulate a Job of one or more Pods that succeeds."""
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
