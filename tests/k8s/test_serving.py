"""The manifests of the server are sound, and its command and probes are those of the real one."""

import re
from typing import Any

import pytest
import yaml

from k8s import Object, render
from k8s.render import Choices
from tests.conftest import ROOT
from tests.k8s import check, pods
from tests.k8s.pods import Workload
from tests.k8s.test_images import stages
from trainer import serve
from trainer.cli import UserError
from trainer.serving import app
from trainer.serving.limits import Limits
from trainer.serving.metrics import Metrics

DEFAULT = Choices()
OWN_MODEL = Choices("my-run", storage="volume", args=("--model", "run7=$(STORAGE)/models/run7"))
# Of a server, not of a run: no Jobs, no TensorFlow.
STAGES = (
    (check.identities, check.references),
    (check.selectors, check.enums, check.resources, check.security),
)


def rendered(choices: Choices = DEFAULT) -> list[Object]:
    return render.render("serve", choices)


def deployment(objects: list[Object]) -> Workload:
    (work,) = pods.workloads(objects)
    return work


def only(objects: list[Object], kind: str) -> dict[str, Any]:
    (found,) = [found for found in objects if found["kind"] == kind]
    return found["spec"]


@pytest.mark.parametrize(("choices", "name"), [(DEFAULT, "svhn"), (OWN_MODEL, "my-run")])
def test_the_manifests_are_sound(choices: Choices, name: str) -> None:
    objects = rendered(choices)
    assert check.findings(objects, STAGES) == []
    shared = {"ServiceAccount", "PersistentVolumeClaim"}
    own = [found["metadata"] for found in objects if found["kind"] not in shared]
    assert len(own) == 6
    for metadata in own:
        assert metadata["name"] == f"{name}-serve"
        assert metadata["labels"]["app.kubernetes.io/instance"] == name
    assert "name: run" not in render.to_yaml(objects)


def test_kubectl_alone_renders_the_same() -> None:
    assert render.kustomize(ROOT / "k8s" / "overlays" / "serve") == rendered()


@pytest.mark.parametrize("storage", ["volume", "shared-volume"])
def test_a_model_in_the_storage_is_only_read(storage: str) -> None:
    objects = rendered(Choices(storage=storage))
    assert check.findings(objects, STAGES) == []
    work = deployment(objects)
    claim = {"claimName": "svhn-storage", "readOnly": True}
    assert [volume.get("persistentVolumeClaim") for volume in work.pod["volumes"]] == [None, claim]
    assert work.container["volumeMounts"][1] == {"name": "storage", "mountPath": "/storage", "readOnly": True}
    (claimed,) = [found for found in objects if found["kind"] == "PersistentVolumeClaim"]
    assert claimed["spec"]["accessModes"] == ["ReadWriteMany" if storage == "shared-volume" else "ReadWriteOnce"]


def test_without_storage_nothing_is_claimed() -> None:
    objects = rendered()
    assert not [found for found in objects if found["kind"] == "PersistentVolumeClaim"]
    assert [volume["name"] for volume in deployment(objects).pod["volumes"]] == ["tmp"]


def test_a_bucket_is_refused() -> None:
    with pytest.raises(UserError, match="overlay serve reads no bucket; use volume, shared-volume"):
        rendered(Choices(storage="gs://my-bucket/svhn"))


def test_a_server_has_an_identity_of_its_own() -> None:
    """That of the other Pods may have access to a bucket."""
    assert deployment(rendered()).pod["serviceAccountName"] == "svhn-serve"


def broken(old: str, new: str) -> list[str]:
    """Return what is found if a text in the manifests is another one."""
    text = render.to_yaml(rendered())
    assert old in text
    return check.findings(list(yaml.safe_load_all(text.replace(old, new))), STAGES)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "a read-only root file system"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"),
        ("selector:\n    app.kubernetes.io/component: serve\n", "selector:\n    a: b\n", "does not select"),
        ("serviceAccountName: svhn-serve", "serviceAccountName: other", "there is no ServiceAccount other"),
        ("averageUtilization: 70", "averageUse: 70", "averageUse"),
    ],
)
def test_what_is_broken_is_found(old: str, new: str, finding: str) -> None:
    assert finding in "\n".join(broken(old, new))


@pytest.mark.parametrize(("choices", "model"), [(DEFAULT, "released-photos"), (OWN_MODEL, "run7=/storage/models/run7")])
def test_the_command_is_taken_by_the_real_parser(choices: Choices, model: str) -> None:
    objects = rendered(choices)
    work = deployment(objects)
    words = pods.command(work.container, pods.environment(work, 0, objects))
    assert words[:3] == ["python", "-m", "trainer.serve"]
    args = serve._parser().parse_args(words[3:])
    assert (args.host, args.model) == ("0.0.0.0", [model])
    assert [port["containerPort"] for port in work.container["ports"]] == [args.port]
    stop = work.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert stop + args.grace < work.pod["terminationGracePeriodSeconds"]


def test_the_probes_ask_what_the_server_answers() -> None:
    container = deployment(rendered()).container
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"/readyz", "/healthz"}
    assert paths <= app.create({}, Limits(), Metrics()).openapi()["paths"].keys()


def test_everything_is_about_the_same_pods() -> None:
    objects = rendered()
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
    assert deployment(rendered()).container["image"] == f"svhn-server:{version[1]}"
    found = stages()
    assert "beam" not in found["server"] + found["build-server"]
    assert "serve" in found["build-server"]
    assert "USER" not in found["server"]
