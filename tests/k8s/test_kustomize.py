"""The renderer refuses what it does not know, and what is wrong."""

from pathlib import Path

import pytest

from k8s import kustomize
from k8s.render import Choices, render
from trainer.cli import UserError

MAP = "kind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n"


@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("resources: [map.yaml]\nnamePrefix: x-\n", "has 'namePrefix'; supported here are"),
        ("resources: [none.yaml]\n", "none.yaml cannot be read"),
        ("resources: [map.yaml]\nresources: [map.yaml]\n", "'resources' is there twice"),
        ("resources: [map.yaml]\npatches: [{patch: 'kind: ConfigMap\n\n  metadata: {name: b}'}]\n", "no ConfigMap b"),
        (
            "resources: [map.yaml]\npatches:\n  - {target: {kind: ConfigMap}, patch: '[{op: remove, path: /spec}]'}\n",
            "ConfigMap a: ",
        ),
        (
            "resources: [map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: b, fieldPath: data.x}\n"
            "    targets: []\n",
            "there is no ConfigMap b",
        ),
        (
            "resources: [map.yaml]\nreplacements:\n  - source: {kind: ConfigMap, name: a, fieldPath: data.y}\n"
            "    targets: []\n",
            "there is no field 'y' to replace, only x",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, kustomization: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(MAP)
    (tmp_path / kustomize.FILE).write_text(kustomization)
    with pytest.raises(UserError, match=message):
        kustomize.render(tmp_path)


@pytest.mark.parametrize(
    ("overlay", "choices", "message"),
    [
        ("nowhere", Choices(), "choose one of export, jobset, local"),
        ("local", Choices(name="Run7"), "small letters"),
        ("local", Choices(name="a" * 41), "at most 40"),
        ("local", Choices(sizes=(("CLUSTER_WORKERS", 2),)), "no CLUSTER_WORKERS to change; its run.yaml has GPUS"),
        ("local", Choices(image="trainer"), "give it a tag"),
        ("local", Choices(image="host:5000/trainer"), "give it a tag"),
        ("local", Choices(image="trainer:latest"), "not latest"),
        ("local", Choices(storage="s3://x"), "choose volume, shared-volume, or a folder"),
        ("local", Choices(components=("tpu",)), "choose among bucket"),
    ],
)
def test_choices_that_make_no_sense_are_named(overlay: str, choices: Choices, message: str) -> None:
    with pytest.raises(UserError, match=message):
        render(overlay, choices)
