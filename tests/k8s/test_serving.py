"""The manifests of the server are sound, and its command and probes are those of the real one."""

import re
from typing import Any

import pytest
import yaml

from k8s import Object, render
from tests.conftest import ROOT
from tests.k8s import check, pods
from tests.k8s.pods import Workload
from tests.k8s.test_images import stages
from trainer import serve
from trainer.serving import app
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics

FOLDERS = ("serving", "serving-own-model")
# Of a server, not of a run: no Jobs, no TensorFlow.
STAGES = (
    (check.identities, check.references),
    (check.selectors, check.enums, check.resources, check.security),
)
CLAIM = ROOT / "k8s" / "components" / "volume" / "claim.yaml"


def rendered(folder: str) -> list[Object]:
    return render.kustomize(ROOT / "k8s" / folder)


def deployment(objects: list[Object]) -> Workload:
    (work,) = pods.workloads(objects)
    return work


def only(objects: list[Object], kind: str) -> dict[str, Any]:
    (found,) = [found for found in objects if found["kind"] == kind]
    return found["spec"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_manifests_are_sound(folder: str) -> None:
    objects = rendered(folder)
    storage = [yaml.safe_load(CLAIM.read_text())] if folder == "serving-own-model" else []
    assert check.findings([*objects, *storage], STAGES) == []
    assert {found["metadata"]["labels"]["app.kubernetes.io/instance"] for found in objects} == {"svhn-serve"}


def broken(folder: str, old: str, new: str) -> list[str]:
    """Return what is found if a text in the manifests is another one."""
    text = render.to_yaml(rendered(folder))
    assert old in text
    return check.findings(list(yaml.safe_load_all(text.replace(old, new))), STAGES)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "a read-only root file system"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
        ("selector:\n    app.kubernetes.io/component: serve", "selector:\n    a: b", "does not select"),
        ("serviceAccountName: svhn-serve", "serviceAccountName: other", "there is no ServiceAccount other"),
        ("averageUtilization: 70", "averageUse: 70", "averageUse"),
    ],
)
def test_what_is_broken_is_found(old: str, new: str, finding: str) -> None:
    assert finding in "\n".join(broken("serving", old, new))


@pytest.mark.parametrize(
    ("folder", "model"), [("serving", "released-photos"), ("serving-own-model", "run7=/storage/models/run7")]
)
def test_the_command_is_taken_by_the_real_parser(folder: str, model: str) -> None:
    work = deployment(rendered(folder))
    words = pods.command(work.container, pods.environment(work, 0, []))
    assert words[:3] == ["python", "-m", "trainer.serve"]
    args = serve._parser().parse_args(words[3:])
    assert (args.host, args.model) == ("0.0.0.0", [model])
    assert [port["containerPort"] for port in work.container["ports"]] == [args.port]
    stop = work.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stop + args.grace < work.pod["terminationGracePeriodSeconds"]


def test_the_probes_ask_what_the_server_answers() -> None:
    container = deployment(rendered("serving")).container
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"/readyz", "/healthz"}
    assert paths <= app.create({}, Limits(), Metrics()).openapi()["paths"].keys()


def test_everything_is_about_the_same_pods() -> None:
    objects = rendered("serving")
    work = deployment(objects)
    (port,) = work.container["ports"]
    assert only(objects, "Service")["ports"][0]["targetPort"] == port["name"]
    policy = only(objects, "NetworkPolicy")
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"protocol": "TCP", "port": port["name"]}]]
    assert policy["egress"] == []
    for selector in (only(objects, "PodDisruptionBudget")["selector"], policy["podSelector"], work.spec["selector"]):
        assert selector["matchLabels"].items() <= work.labels.items()
    scaler = only(objects, "HorizontalPodAutoscaler")
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": work.name}
    assert "replicas" not in work.spec  # or applying it again would undo what the autoscaler did
    assert scaler["minReplicas"] > only(objects, "PodDisruptionBudget")["maxUnavailable"]
    kinds = [found["kind"] for found in objects]
    assert kinds.index("NetworkPolicy") < kinds.index("Deployment")


def test_the_image_has_a_stage_without_beam_and_needs_no_root() -> None:
    version = re.search(r'version="(.*?)"', (ROOT / "setup.py").read_text())
    assert version
    assert deployment(rendered("serving")).container["image"] == f"svhn-server:{version[1]}"
    found = stages()
    assert "beam" not in found["server"] + found["build-server"]
    assert "serve" in found["build-server"]
    assert "USER" not in found["server"]
