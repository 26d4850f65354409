"""Tests that need a real cluster, named by KUBECONFIG; each run gets its own namespace.

Those that run Pods also need the images of k8s/Dockerfile in the cluster: with REAL_CLUSTER_IMAGES=PREFIX they are
`PREFIXsvhn-trainer:0.1.0` and `PREFIXsvhn-pipelines:0.1.0`; a space stands for no prefix, as on kind.
"""

import functools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from k8s import render, submit
from k8s.render import Choices

pytestmark = pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster")
PREFIX = os.environ.get("REAL_CLUSTER_IMAGES", "")
with_images = pytest.mark.skipif(
    not PREFIX, reason="REAL_CLUSTER_IMAGES does not say where the cluster finds the images of k8s/Dockerfile"
)
TRAINER, PIPELINES = (f"{PREFIX.strip()}svhn-{name}:0.1.0" for name in ("trainer", "pipelines"))
DATA = "$(STORAGE)/data/digits"


def kubectl(*args: str, given: str = "") -> str:
    done = subprocess.run([render.kubectl(), *args], input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def found(namespace: str, kind: str, run: str) -> list[dict[str, Any]]:
    selector = f"app.kubernetes.io/instance={run}"
    return json.loads(kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))["items"]


def running(namespace: str, run: str) -> list[str]:
    """Return the names of the Pods of a run that are running."""
    return [p["metadata"]["name"] for p in found(namespace, "pods", run) if p["status"]["phase"] == "Running"]


def wait_until(condition: Callable[[], object], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the limit"
        time.sleep(1.0)


def submitted(namespace: str, overlay: str, name: str, image: str, *args: str, options: tuple[str, ...] = ()) -> int:
    where = ["--namespace", namespace, "--overlay", overlay, "--name", name, "--image", image]
    return submit.main([*where, *options, "--", *args])


def log(namespace: str, pod: str) -> str:
    done = subprocess.run([render.kubectl(), "logs", "-n", namespace, pod], capture_output=True, text=True)
    return done.stdout


def applied(namespace: str, overlay: str, name: str, *args: str, sizes: tuple[tuple[str, int], ...] = ()) -> str:
    """Apply an overlay as kubectl alone does; return what kubectl warned of."""
    manifest = render.to_yaml(render.render(overlay, Choices(name, sizes, image=TRAINER, args=args)))
    command = [render.kubectl(), "apply", "-n", namespace, "-f", "-"]
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Create a namespace that accepts only Pods of the restricted profile; remove its Jobs before it."""
    name = f"svhn-test-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name
    finally:
        kubectl("delete", "jobs", "-n", name, "--all", "--wait=false")
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def digits(namespace: str) -> str:
    """Synthesize a dataset in four Pods, of which the last completes it; run it again, which changes nothing."""
    options = ("--partitions", "4")
    args = ("--count", "400", "--seed", "7", "--num-shards", "4")
    for _ in range(2):
        assert submitted(namespace, "synthesize", "digits", PIPELINES, *args, options=options) == 0
    return namespace


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
    assert submit.main(["delete", *where]) == 2


@pytest.mark.slow
def test_kubectl_applies_one_overlay_after_another_and_does_not_warn(namespace: str) -> None:
    """The policy is there before any Pod, and what submit has applied is no surprise to kubectl."""
    where = ["--namespace", namespace, "--name", "run8", "--image", TRAINER]
    submit.main(["--overlay", "local", "--give-up", "0", *where])
    assert submit.main(["delete", *where[:4]]) == 0
    for overlay in ("local", "export"):  # the storage and the service account are submit's
        assert "Warning" not in applied(namespace, overlay, "run8")
    (policy,) = found(namespace, "networkpolicies", "run8")
    for job in found(namespace, "jobs", "run8"):
        assert policy["metadata"]["creationTimestamp"] <= job["metadata"]["creationTimestamp"]
    assert submit.main(["delete", *where[:4]]) == 0


@pytest.mark.slow
@with_images
def test_a_killed_chief_is_replaced_and_resumes(digits: str) -> None:
    """Its replacement takes over the work folder, whatever process numbers it has, and no run fails for good."""
    args = ("--experiment", "smoke", "--data", DATA, "--set", "train.steps=100000", "train.checkpoint_every=20")
    applied(digits, "local", "killed", *args)
    for attempt in range(3):
        wait_until(lambda: running(digits, "killed"))
        (pod,) = running(digits, "killed")
        wait_until(functools.partial(has_saved, digits, pod))
        assert attempt == 0 or "from /storage" in log(digits, pod)
        kubectl("exec", "-n", digits, pod, "--", "python", "-c", KILL)
        wait_until(lambda: not running(digits, "killed"))
    codes = {s["state"]["terminated"]["exitCode"] for p in found(digits, "pods", "killed") for s in statuses(p)}
    assert codes == {137}
    assert submit.main(["delete", "--namespace", digits, "--name", "killed"]) == 0


def has_saved(namespace: str, pod: str) -> bool:
    return "saved" in log(namespace, pod)


KILL = """
import os, signal
for number in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{number}/cmdline").read().split(chr(0))
    if "trainer.train" in words:
        os.kill(int(number), signal.SIGKILL)
"""


def statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statuses of the Pod's containers that have ended."""
    return [s for s in pod["status"].get("containerStatuses", []) if "terminated" in s["state"]]


@pytest.mark.slow
@with_images
@pytest.mark.parametrize("seconds", [1, 3, 6, 10, 20])
def test_a_worker_stopped_at_its_start_ends_with_143_and_the_waits_are_of_its_index(digits: str, seconds: int) -> None:
    """Its peer is replaced as well; neither waits longer than its own failures make it."""
    name = f"stopped-{seconds}"
    args = ("--experiment", "smoke", "--data", DATA, "--set", "train.steps=100000", "data.batch_size=16")
    applied(digits, "multi-worker", name, *args)
    wait_until(lambda: running(digits, name))
    (pod, *_) = running(digits, name)
    time.sleep(seconds)
    kubectl("exec", "-n", digits, pod, "--", "python", "-c", KILL.replace("SIGKILL", "SIGTERM"))
    wait_until(lambda: any(statuses(p) for p in found(digits, "pods", name)), 60)
    codes = [s["state"]["terminated"]["exitCode"] for p in found(digits, "pods", name) for s in statuses(p)]
    assert 143 in codes
    begin = time.monotonic()
    wait_until(lambda: len(running(digits, name)) == 2)
    assert time.monotonic() - begin < 80  # the third wait of an index; of two together it would be 320 s
    assert submit.main(["delete", "--namespace", digits, "--name", name]) == 0


@pytest.mark.slow
@with_images
def test_a_busy_healthy_worker_is_not_killed_and_a_hanging_one_is(digits: str) -> None:
    args = ("--experiment", "smoke", "--data", DATA, "--set", "train.steps=100000", "data.batch_size=16")
    applied(digits, "multi-worker", "hangs", *args)
    wait_until(lambda: len(running(digits, "hangs")) == 2)
    before = {p["metadata"]["name"] for p in found(digits, "pods", "hangs")}
    time.sleep(150)  # as long as it takes to end a process that hangs
    assert {p["metadata"]["name"] for p in found(digits, "pods", "hangs")} == before
    kubectl("exec", "-n", digits, sorted(before)[1], "--", "python", "-c", KILL.replace("SIGKILL", "SIGSTOP"))
    wait_until(lambda: {p["metadata"]["name"] for p in found(digits, "pods", "hangs")} > before)
    assert submit.main(["delete", "--namespace", digits, "--name", "hangs"]) == 0
