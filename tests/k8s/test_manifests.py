"""Every overlay is sound at every size, and its commands are accepted."""

import itertools
import os
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from beam_pipelines import prepare, score, synthesize
from k8s import Object, render, submit
from k8s.render import Choices
from tests.conftest import ROOT
from tests.k8s import check, pods
from trainer import export, train
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.config import experiments
from trainer.inference.exports import saved_model
from trainer.workdir import files

TRAINING = ("local", "multi-worker", "parameter-server", "jobset")
PIPELINES = ("prepare", "synthesize", "score")
OVERLAYS = (*TRAINING, *PIPELINES, "export", "tensorboard")
EVERYTHING = ("gpu", "spot", "kueue")


def sized(overlay: str, size: int) -> tuple[tuple[str, int], ...]:
    """Return the choices that set all sizes of an overlay to this number."""
    if overlay in PIPELINES:
        return (("SHARES", size),)
    keys: dict[str, list[str]] = {"multi-worker": ["CLUSTER_WORKERS"], "local": [], "export": [], "tensorboard": []}
    return tuple((key, size) for key in keys.get(overlay, ["CLUSTER_WORKERS", "CLUSTER_SERVERS"]))


def test_the_overlays_are_those_that_are_tested() -> None:
    assert set(render.overlays()) == {*OVERLAYS, "serve"}  # see test_serving.py


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("size", [1, 2, 16])
def test_an_overlay_is_sound(overlay: str, size: int) -> None:
    objects = render.render(overlay, Choices(name="my-run", sizes=sized(overlay, size)))
    assert check.findings(objects) == []
    for work in pods.workloads(objects):
        assert work.name.startswith("my-run-")
        assert work.labels["app.kubernetes.io/instance"] == "my-run"
    assert "run7" not in render.to_yaml(objects)


@pytest.mark.parametrize("overlay", TRAINING)
@pytest.mark.parametrize("storage", ["volume", "shared-volume", "gs://my-bucket/svhn"])
def test_an_overlay_with_everything_is_sound(overlay: str, storage: str) -> None:
    choices = Choices(
        sizes=(("GPUS", 8),), storage=storage, components=EVERYTHING, image="registry:5000/x:2", args=("--data", "x")
    )
    objects = render.render(overlay, choices)
    assert check.findings(objects) == []
    works = list(pods.workloads(objects))
    assert all(work.container["image"] == "registry:5000/x:2" and work.container["args"][-1] == "x" for work in works)
    on_gpus = [work for work in works if "nvidia.com/gpu" in work.container["resources"]["limits"]]
    assert [work.container["resources"]["limits"]["nvidia.com/gpu"] for work in on_gpus] == [8]
    assert {o["data"]["STORAGE"] for o in objects if "STORAGE" in o.get("data", {})} == {
        storage if "://" in storage else "/storage"
    }
    assert sum(o["kind"] == "PersistentVolumeClaim" for o in objects) == ("://" not in storage)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("storage", ["volume", "shared-volume", "gs://my-bucket/svhn"])
def test_every_combination_of_components_is_sound(overlay: str, storage: str) -> None:
    for count in range(len(EVERYTHING) + 1):
        for components in itertools.combinations(EVERYTHING, count):
            choices = Choices("my-run", sized(overlay, 3), storage, components)
            if "gpu" in components and overlay not in TRAINING:
                with pytest.raises(UserError, match="has no GPUS to change"):
                    render.render(overlay, choices)
            else:
                assert check.findings(render.render(overlay, choices)) == []


def test_what_is_printed_is_what_was_rendered() -> None:
    objects = render.render("parameter-server", Choices())
    assert list(yaml.safe_load_all(render.to_yaml(objects))) == objects


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_guards_pods_is_applied_before_them(overlay: str) -> None:
    kinds = [found["kind"] for found in render.render(overlay, Choices())]
    makes_pods = [place for place, kind in enumerate(kinds) if kind in ("Job", "JobSet", "Deployment")]
    assert kinds.index("NetworkPolicy") < makes_pods[0]


def test_overlays_of_one_run_do_not_change_what_is_immutable() -> None:
    """One overlay after another may be applied under the same name, e.g. local, then export."""
    maps: dict[str, Object] = {}
    for overlay in (*OVERLAYS, "serve"):
        for found in render.render(overlay, Choices("my-run")):
            if found.get("immutable"):
                assert maps.setdefault(found["metadata"]["name"], found) == found
    assert len(maps) == len(OVERLAYS) + 1


def test_spot_takes_the_evaluator_in_a_job_set_and_without_one() -> None:
    for overlay in ("parameter-server", "jobset"):
        works = pods.workloads(render.render(overlay, Choices(components=("spot",))))
        on_spot = [work.labels["app.kubernetes.io/component"] for work in works if "nodeSelector" in work.pod]
        assert on_spot == ["worker", "evaluator"]


def test_arguments_reach_tensorboard() -> None:
    (work,) = pods.workloads(render.render("tensorboard", Choices(args=("--reload_interval", "5"))))
    assert work.container["args"] == ["--reload_interval", "5"]


def test_the_rules_of_a_job_set_have_names() -> None:
    (job_set,) = [found for found in render.render("jobset", Choices()) if found["kind"] == "JobSet"]
    assert [rule["name"] for rule in job_set["spec"]["failurePolicy"]["rules"]] == ["user-error"]


def waits(spec: Object, losses: int) -> list[int]:
    """Return the seconds until Pods are replaced, each time that the loss of one worker makes all workers fail.

    The Job controller doubles ten seconds with each failure, up to ten minutes, and never forgets one. It counts
    those of each index with backoffLimitPerIndex, else those of the whole Job.
    """
    failures = 1 if "backoffLimitPerIndex" in spec else spec["completions"]
    return [min(10 * 2 ** (failures * loss - 1), 600) for loss in range(1, losses + 1)]


@pytest.mark.parametrize(
    ("workers", "as_one"), [(2, [20, 80, 320, 600, 600]), (4, [80, 600, 600, 600, 600]), (8, 5 * [600])]
)
def test_waits_after_a_loss_do_not_grow_with_the_number_of_workers(workers: int, as_one: list[int]) -> None:
    objects = render.render("multi-worker", Choices(sizes=(("CLUSTER_WORKERS", workers), ("BACKOFF_LIMIT", 7))))
    (work,) = pods.workloads(objects)
    assert (work.spec["completions"], work.spec["backoffLimitPerIndex"]) == (workers, 7)
    assert waits(work.spec, 5) == [10, 20, 40, 80, 160]
    assert waits({"completions": workers}, 5) == as_one


class Loader(yaml.SafeLoader):
    """Reject duplicate keys: kubectl does so in resources, but not in kustomizations and patches."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{sorted(keys)} at {node.start_mark}"
        return super().construct_mapping(node, deep)


def test_the_loader_refuses_a_key_that_is_given_twice() -> None:
    with pytest.raises(AssertionError):
        yaml.load("{a: 1, b: {c: 1, c: 2}}", Loader)


@pytest.mark.parametrize("path", sorted((ROOT / "k8s").rglob("*.yaml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_valid_and_say_how_they_are_used(path: Path) -> None:
    text = path.read_text()
    content = yaml.load(text, Loader)
    if isinstance(content, dict):
        for patch in content.get("patches", []):
            yaml.load(patch["patch"], Loader)
    if isinstance(content, dict) and "metadata" in content:
        comment = [line for line in text.splitlines() if line.startswith("#")]
        for word in ("Apply", "Check", "Logs", "Clean"):
            assert any(line.startswith(f"# {word}: ") for line in comment), f"its header does not say {word}"
    assert all(len(line) <= 160 for line in text.splitlines())


class Parsed(BaseException):
    """The command line was accepted, and its work would begin; no `except Exception` may catch this."""


@pytest.mark.parametrize("overlay", TRAINING)
def test_training_commands_are_taken_by_the_real_parser(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def configure() -> None:
        raise Parsed

    monkeypatch.setattr(environment, "configure", configure)
    objects = render.render(overlay, Choices(name="my-run", sizes=sized(overlay, 2)))
    for work in pods.workloads(objects):
        words = pods.command(work.container, pods.environment(work, 1 % work.size, objects))
        assert words[:5] == ["python", "-m", "trainer.train", "--workdir", "/storage/runs/my-run"]
        with pytest.raises(Parsed):
            train.main(words[3:])


def test_the_export_command_is_taken_by_the_real_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(workdir: str, output: str, **_: bool) -> None:
        assert (workdir, output) == ("/storage/runs/my-run", "/storage/models/my-run")
        raise Parsed

    monkeypatch.setattr(files, "read_config", lambda _: experiments.find("compact"))
    monkeypatch.setattr(saved_model, "export", exported)
    objects = render.render("export", Choices(name="my-run"))
    (work,) = pods.workloads(objects)
    words = pods.command(work.container, pods.environment(work, 0, objects))
    assert words[:3] == ["python", "-m", "trainer.export"]
    with pytest.raises(Parsed):
        export.main(words[3:])


@pytest.mark.parametrize(("overlay", "module"), [("prepare", prepare), ("synthesize", synthesize), ("score", score)])
def test_pipelines_commands_are_taken_by_the_real_parsers(overlay: str, module: ModuleType) -> None:
    objects = render.render(overlay, Choices(name="my-run", sizes=sized(overlay, 2)))
    (work,) = pods.workloads(objects)
    words = pods.command(work.container, pods.environment(work, 1, objects))
    assert words[:3] == ["python", "-m", f"beam_pipelines.{overlay}"]
    args = module._parser().parse_args(words[3:])
    assert args.output == f"/storage/{'predictions' if overlay == 'score' else 'data'}/my-run"
    assert args.share == "1/2"


@pytest.mark.parametrize(
    ("overlay", "workers", "servers", "tasks"),
    [
        ("multi-worker", 1, 0, ["alone"]),
        ("multi-worker", 3, 0, ["worker 0", "worker 1", "worker 2"]),
        ("parameter-server", 2, 1, ["chief", "evaluator", "ps 0", "worker 0", "worker 1"]),
        ("jobset", 2, 1, ["chief", "evaluator", "ps 0", "worker 0", "worker 1"]),
        ("local", 0, 0, ["alone"]),
    ],
)
def test_pods_know_their_tasks(overlay: str, workers: int, servers: int, tasks: list[str]) -> None:
    sizes = [("CLUSTER_WORKERS", workers)] * bool(workers) + [("CLUSTER_SERVERS", servers)] * bool(servers)
    objects = render.render(overlay, Choices(sizes=tuple(sizes)))
    found = [
        environment.read_task(pods.environment(work, index, objects))
        for work in pods.workloads(objects)
        for index in range(work.size)
    ]
    assert sorted(map(str, found)) == tasks
    assert sum(task.is_chief for task in found) == 1


@pytest.mark.parametrize(
    ("overlay", "savers"),
    [("local", ["run7-trainer"]), ("multi-worker", ["run7-worker"]), ("parameter-server", ["run7-chief"])],
)
def test_those_who_save_get_time_for_it(overlay: str, savers: list[str]) -> None:
    works = pods.workloads(render.render(overlay, Choices()))
    assert [work.name for work in works if work.pod["terminationGracePeriodSeconds"] >= 120] == savers


@pytest.mark.parametrize("overlay", ["parameter-server", "jobset"])
def test_workers_and_servers_stay_until_the_chief_has_saved(overlay: str) -> None:
    """If all tasks are stopped at once, the chief still needs them to complete the step and save."""
    stay = {
        work.labels["app.kubernetes.io/component"]: work.container.get("lifecycle", {}).get("preStop")
        for work in pods.workloads(render.render(overlay, Choices()))
        if work.pod["terminationGracePeriodSeconds"] > 30
    }
    assert stay == {"chief": None, "worker": {"sleep": {"seconds": 20}}, "ps": {"sleep": {"seconds": 20}}}


def test_the_tests_that_the_docs_name_exist() -> None:
    """The docs name tests as `file.py::test_name`, below tests/ or, without a folder, beside this file."""
    text = (ROOT / "docs" / "kubernetes-operations.md").read_text()
    named = re.findall(r"`((?:tests/)?)([\w/]+\.py)::(test_\w+)`", text)
    assert len(named) >= 20
    here = Path(__file__).parent
    missing = [
        f"{file}::{name}"
        for folder, file, name in named
        if f"def {name}(" not in ((ROOT / "tests" if folder else here) / file).read_text()
    ]
    assert missing == []


@pytest.mark.parametrize(
    "line",
    [
        line
        for page in ("k8s/README.md", "docs/kubernetes.md")
        for line in re.findall(
            r"^python -m k8s\.submit (--overlay (?:.*\\\n)*.*)$", (ROOT / page).read_text(), re.MULTILINE
        )
    ],
)
def test_the_commands_of_the_docs_are_accepted(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BUCKET", "my-bucket"), ("REGISTRY", "europe-docker.pkg.dev/my-project/svhn")):
        monkeypatch.setenv(name, value)
    words = [os.path.expandvars(word) for word in shlex.split(line.replace("\\\n", " "))]
    split = words.index("--") if "--" in words else len(words)
    assert submit.main([*words[:split], "--dry-run", *words[split:]]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.startswith("apiVersion: ")
