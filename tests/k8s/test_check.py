"""Each check of soundness finds the mistake that it is for."""

import copy
import functools
import re
from collections.abc import Callable

import pytest

from k8s import Object, render
from k8s.render import Choices
from tests.k8s import check

Break = Callable[[dict[str, Object]], object]


@functools.cache
def rendered() -> list[Object]:
    return render.render("multi-worker", Choices())


def broken(break_it: Break) -> list[str]:
    objects = copy.deepcopy(rendered())
    by_name = {f"{o['kind']}/{o['metadata']['name']}": o for o in objects}
    break_it(by_name)
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
        (lambda o: o.pop("ConfigMap/run7-multi-worker"), "there is no ConfigMap run7-multi-worker"),
        (lambda o: o.pop("PersistentVolumeClaim/svhn-storage"), "there is no PersistentVolumeClaim"),
        (lambda o: o["Service/run7"]["spec"].update(clusterIP="10.0.0.1"), "is no headless Service"),
        (lambda o: pod_of(o).update(subdomain="run8"), "run8 is no headless Service"),
        (lambda o: pod_of(o)["volumes"].clear(), "there is no volume tmp"),
        (lambda o: container_of(o)["args"].append("$(STORE)/x"), r"no environment variable for \$\(STORE\)/x"),
        (lambda o: o["Service/run7"]["spec"]["selector"].update(x="y"), "Service run7 does not select"),
        (lambda o: o["NetworkPolicy/run7"]["spec"]["podSelector"]["matchLabels"].update(x="y"), "NetworkPolicy run7"),
        (lambda o: o["Job/run7-worker"]["spec"].update(parallelism=1), "2 completions, 1 in parallel"),
        (
            lambda o: o["ConfigMap/run7-multi-worker"]["data"].update(CLUSTER_WORKERS="3"),
            "2 Pods, and its environment says 3",
        ),
        (lambda o: o["PodDisruptionBudget/run7-workers"]["spec"].update(minAvailable=1), "not 2, the number"),
        (lambda o: o["Service/run7"]["spec"]["ports"][0].update(targetPort=2223), "no open port, is at run7-worker-0"),
        (lambda o: container_of(o)["ports"][0].update(containerPort=2223), "no open port, is at run7-worker-0.run7"),
        (lambda o: container_of(o)["env"][0].update(value="king"), "CLUSTER_ROLE=king"),
        (lambda o: o["ConfigMap/run7-multi-worker"]["data"].update(CLUSTER_NAME="run8"), "is at run8-worker-0.run7"),
        (lambda o: pod_of(o).update(restartPolicy="Always"), "restartPolicy must be Never"),
        (lambda o: pod_of(o).update(restartPolicy="never"), "restartPolicy never is none of"),
        (lambda o: o["Job/run7-worker"]["spec"].pop("podReplacementPolicy"), "two Pods of one index"),
        (lambda o: o["Job/run7-worker"]["spec"]["podFailurePolicy"]["rules"].pop(2), "must fail on 2"),
        (lambda o: o["Job/run7-worker"]["spec"].update(activeDeadlineSeconds=9), "would end a run"),
        (lambda o: o["Job/run7-worker"]["spec"].pop("backoffLimitPerIndex"), "makes all others wait longer"),
        (lambda o: o["Job/run7-worker"]["spec"].update(maxFailedIndexes=1), "maxFailedIndexes must be 0"),
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
def test_what_is_broken_is_found(break_it: Break, finding: str) -> None:
    found = broken(break_it)
    assert any(re.search(finding, line) for line in found), found
