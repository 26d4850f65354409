"""Every overlay at every size is sound, and each check of soundness finds what it is for."""

import copy
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from beam_pipelines import prepare, score, synthesize
from k8s import check, kustomize, pods, render, submit
from k8s.kustomize import Object
from k8s.render import Choices
from tests.conftest import ROOT
from trainer import cluster, export, train

TRAINING = ("local", "multi-worker", "parameter-server", "jobset")
PIPELINES = ("prepare", "synthesize", "score")
OVERLAYS = (*TRAINING, *PIPELINES, "export", "tensorboard")
EVERYTHING = ("gpu", "spot", "kueue")


def sized(overlay: str, size: int) -> tuple[tuple[str, int], ...]:
    """The choices that make all of an overlay's sizes so."""
    if overlay in PIPELINES:
        return (("SHARES", size),)
    keys: dict[str, list[str]] = {"multi-worker": ["CLUSTER_WORKERS"], "local": [], "export": [], "tensorboard": []}
    return tuple((key, size) for key in keys.get(overlay, ["CLUSTER_WORKERS", "CLUSTER_SERVERS"]))


def test_the_overlays_are_those_that_are_tested() -> None:
    assert set(render.names("overlays")) == set(OVERLAYS)


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


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("storage", [None, "shared-volume", "gs://my-bucket/svhn"])
def test_kubectl_renders_the_same(overlay: str, storage: str | None) -> None:
    choices = Choices("my-run", sized(overlay, 3), storage, ("spot", "kueue"), "registry/x:2", ("--data", "a: b"))
    if overlay in TRAINING:
        choices = Choices("my-run", sized(overlay, 3), storage, EVERYTHING, "registry/x:2", ("--data", "a: b"))
    with render.chosen(overlay, choices) as folder:
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
        ours = kustomize.render(folder)

    def in_order(objects: list[Object]) -> list[Object]:
        return sorted(objects, key=lambda o: (o["kind"], o["metadata"]["name"]))

    assert in_order(ours) == in_order(list(yaml.safe_load_all(done.stdout)))


def test_what_is_printed_is_what_was_rendered() -> None:
    objects = render.render("parameter-server", Choices())
    assert kustomize.load(render.to_yaml(objects), "output") == objects


@pytest.mark.parametrize("path", sorted((ROOT / "k8s").rglob("*.yaml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_valid_and_say_how_they_are_used(path: Path) -> None:
    """`kustomize.load` refuses keys that are there twice."""
    text = path.read_text()
    (content,) = kustomize.load(text, path)
    if isinstance(content, dict) and "metadata" in content:
        comment = [line for line in text.splitlines() if line.startswith("#")]
        for word in ("Apply", "Check", "Logs", "Clean"):
            assert any(line.startswith(f"# {word}: ") for line in comment), f"its header does not say {word}"
    assert all(len(line) <= 160 for line in text.splitlines())


class Parsed(BaseException):
    """A command line was taken, and its work would begin; no `except Exception` of it may stop this."""


@pytest.mark.parametrize("overlay", TRAINING)
def test_training_commands_are_taken_by_the_real_parser(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def configure() -> None:
        raise Parsed

    monkeypatch.setattr(cluster, "configure", configure)
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

    monkeypatch.setattr(export, "export", exported)
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
        cluster.read_task(pods.environment(work, index, objects))
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
    """Where all are stopped at once: a step cannot end, nor be saved, without them."""
    stay = {
        work.labels["app.kubernetes.io/component"]: work.container.get("lifecycle", {}).get("preStop")
        for work in pods.workloads(render.render(overlay, Choices()))
        if work.pod["terminationGracePeriodSeconds"] > 30
    }
    assert stay == {"chief": None, "worker": {"sleep": {"seconds": 20}}, "ps": {"sleep": {"seconds": 20}}}


Break = Callable[[dict[str, Object]], object]


def broken(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    objects = copy.deepcopy(render.render("multi-worker", Choices()))
    by_name = {f"{o['kind']}/{o['metadata']['name']}": o for o in objects}
    break_it(by_name)
    monkeypatch.setattr(check, "VERSIONS", check.VERSIONS[-1:])  # each takes a quarter of a second
    return check.findings(list(by_name.values()))


def pod_of(objects: dict[str, Object]) -> Object:
    return objects["Job/run7-worker"]["spec"]["template"]["spec"]


def container_of(objects: dict[str, Object]) -> Object:
    return pod_of(objects)["containers"][0]


@pytest.mark.parametrize(
    ("break_it", "finding"),
    [
        (lambda o: o["Job/run7-worker"]["spec"].update(completion=3), "completion' was unexpected"),
        (lambda o: o["Job/run7-worker"]["spec"].update(completions="2"), "not of type 'integer'"),
        (lambda o: o.update(again=o["Service/run7"]), "is there 2 times"),
        (lambda o: o.pop("ServiceAccount/svhn"), "there is no ServiceAccount svhn"),
        (lambda o: o.pop("ConfigMap/run7-settings"), "there is no ConfigMap run7-settings"),
        (lambda o: o.pop("PersistentVolumeClaim/svhn-storage"), "there is no PersistentVolumeClaim"),
        (lambda o: o["Service/run7"]["spec"].update(clusterIP="10.0.0.1"), "is no headless Service"),
        (lambda o: pod_of(o).update(subdomain="run8"), "run8 is no headless Service"),
        (lambda o: pod_of(o)["volumes"].clear(), "there is no volume tmp"),
        (lambda o: container_of(o)["args"].append("$(STORE)/x"), r"no environment variable for \$\(STORE\)/x"),
        (lambda o: o["Service/run7"]["spec"]["selector"].update(x="y"), "Service run7 does not select"),
        (lambda o: o["NetworkPolicy/run7"]["spec"]["podSelector"]["matchLabels"].update(x="y"), "NetworkPolicy run7"),
        (lambda o: o["Job/run7-worker"]["spec"].update(parallelism=1), "2 completions, 1 in parallel"),
        (lambda o: o["ConfigMap/run7"]["data"].update(CLUSTER_WORKERS="3"), "2 Pods, and its environment says 3"),
        (lambda o: o["PodDisruptionBudget/run7-workers"]["spec"].update(minAvailable=1), "not 2, the number"),
        (lambda o: o["Service/run7"]["spec"]["ports"][0].update(targetPort=2223), "no open port, is at run7-worker-0"),
        (lambda o: container_of(o)["ports"][0].update(containerPort=2223), "no open port, is at run7-worker-0.run7"),
        (lambda o: container_of(o)["env"][0].update(value="king"), "CLUSTER_ROLE=king"),
        (lambda o: o["ConfigMap/run7"]["data"].update(CLUSTER_NAME="run8"), "is at run8-worker-0.run7"),
        (lambda o: pod_of(o).update(restartPolicy="Always"), "restartPolicy must be Never"),
        (lambda o: pod_of(o).update(restartPolicy="never"), "restartPolicy never is none of"),
        (lambda o: o["Job/run7-worker"]["spec"].pop("podReplacementPolicy"), "two Pods of one index"),
        (lambda o: o["Job/run7-worker"]["spec"]["podFailurePolicy"]["rules"].pop(2), "must fail on 2"),
        (lambda o: o["Job/run7-worker"]["spec"].update(activeDeadlineSeconds=9), "would end a run"),
        (lambda o: o["Job/run7-worker"]["spec"].update(backoffLimitPerIndex=4), "is for shares"),
        (lambda o: o["Job/run7-worker"]["spec"].pop("ttlSecondsAfterFinished"), "is never removed"),
        (lambda o: o["Job/run7-worker"]["spec"].pop("successPolicy"), "index 0, the chief, succeeds"),
        (lambda o: o.pop("NetworkPolicy/run7"), "no NetworkPolicy to guard"),
        (
            lambda o: o["NetworkPolicy/run7"]["spec"]["ingress"][0].update({"from": [{"podSelector": {}}]}),
            "must let in",
        ),
        (lambda o: o["NetworkPolicy/run7"]["spec"]["ingress"].append({"from": []}), "must let in Pods of the same run"),
        (lambda o: pod_of(o).pop("shareProcessNamespace"), "would not get SIGTERM"),
        (lambda o: container_of(o)["resources"]["requests"].update(memory="9Gi"), "more memory than its limit"),
        (lambda o: container_of(o)["resources"]["limits"].update(cpu="four"), "no sound request and limit of cpu"),
        (lambda o: container_of(o).update(image="trainer:latest"), "a tag, and not latest"),
        (lambda o: pod_of(o)["securityContext"].pop("runAsNonRoot"), "must have runAsNonRoot"),
        (lambda o: pod_of(o).update(hostNetwork=True), "must have no privileges"),
        (lambda o: container_of(o)["securityContext"].pop("capabilities"), "all capabilities dropped"),
        (lambda o: container_of(o)["securityContext"].pop("readOnlyRootFilesystem"), "a read-only root"),
    ],
)
def test_what_is_broken_is_found(break_it: Break, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = broken(break_it, monkeypatch)
    assert any(re.search(finding, line) for line in found), found


def test_the_tests_that_the_readme_names_are_there() -> None:
    """Each as `file.py::test_name`, below tests/ or, without a folder, beside this file."""
    text = (ROOT / "k8s" / "README.md").read_text()
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
    re.findall(
        r"^python -m k8s\.submit (--overlay (?:.*\\\n)*.*)$", (ROOT / "k8s" / "README.md").read_text(), re.MULTILINE
    ),
)
def test_the_commands_of_the_readme_are_taken(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BUCKET", "my-bucket"), ("REGISTRY", "europe-docker.pkg.dev/my-project/svhn")):
        monkeypatch.setenv(name, value)
    words = [os.path.expandvars(word) for word in shlex.split(line.replace("\\\n", " "))]
    split = words.index("--") if "--" in words else len(words)
    assert submit.main([*words[:split], "--dry-run", *words[split:]]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.startswith("apiVersion: ")
