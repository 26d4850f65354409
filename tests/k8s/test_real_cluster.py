"""Tests that need a real cluster, named by KUBECONFIG; each run gets its own namespace."""

import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest

from k8s import render, submit
from k8s.render import Choices

pytestmark = pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster")


def kubectl(*args: str, given: str = "") -> str:
    done = subprocess.run([render.kubectl(), *args], input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Create a namespace that accepts only Pods of the restricted profile."""
    name = f"svhn-test-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("overlay", [name for name in render.overlays() if name != "jobset"])
def test_it_takes_each_overlay(overlay: str, namespace: str) -> None:
    """A server-side dry run validates everything, including enums and rules between fields, and changes nothing."""
    manifest = render.to_yaml(render.render(overlay, Choices(name="dry-run")))
    kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", given=manifest)


@pytest.mark.slow
def test_a_run_is_applied_seen_and_removed(namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No image is at hand: what is to be seen is that it cannot be pulled, or that no node takes the Pod."""
    where = ["--namespace", namespace, "--name", "run7"]
    image = ["--image", "registry.invalid/svhn-trainer:0.1.0", "--storage", "gs://no-bucket/svhn"]
    for _ in range(2):  # the second time it follows what is under way
        assert submit.main(["--overlay", "local", "--give-up", "5", *image, *where]) == 2
        captured = capsys.readouterr()
        assert "cannot be pulled" in captured.err or "is unschedulable" in captured.err
    assert "is under way already: following it" in captured.out
    assert submit.main(["status", *where]) == 0
    assert "run7-trainer-0" in capsys.readouterr().out
    assert submit.main(["delete", *where]) == 0
    assert (
        kubectl("get", "pods,jobs,configmaps,services", "-n", namespace, "-l", "app.kubernetes.io/instance=run7") == ""
    )
