"""What schemas do not say about objects: that references resolve, names and sizes agree, and Pods are restricted.

Each check yields findings, a line each; a sound set of objects has none.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kubernetes_validate
from kubernetes.utils import parse_quantity

from k8s import Object
from tests.k8s import pods
from tests.k8s.pods import Workload
from trainer.cli import UserError
from trainer.cluster import environment

VERSIONS = ("1.33", "1.37")  # the oldest and the newest that the manifests are checked against

CHIEF_DECIDES = {"rules": [{"succeededIndexes": "0"}]}

# Schemas take any string for these.
ENUMS = {
    "completionMode": {"Indexed"},
    "podReplacementPolicy": {"Failed"},
    "restartPolicy": {"Never", "Always"},
    "action": {"Ignore", "FailJob", "FailJobSet", "FailIndex", "Count"},
    "operator": {"In", "NotIn", "Exists", "Equal", "All", "Any"},
    "effect": {"NoSchedule", "NoExecute", "PreferNoSchedule"},
    "protocol": {"TCP"},
    "medium": {"Memory", ""},
    "fsGroupChangePolicy": {"OnRootMismatch", "Always"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
}


def findings(objects: list[Object], stages: Sequence[Sequence[Callable]] | None = None) -> list[str]:
    """Return a line for each mistake in the objects; by default they are those of a run."""
    found = [line for version in VERSIONS for line in schema(objects, version)]
    # Each stage relies on what the ones before it found to be there.
    for stage in stages or STAGES:
        found = found or [line for check in stage for line in check(objects)]
    return found


def schema(objects: list[Object], version: str) -> Iterator[str]:
    """Check fields and types strictly; of a JobSet, which has no schema there, only its Jobs."""
    for found in objects:
        parts = [found]
        if found["kind"] == "JobSet":
            parts = [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "metadata": {"name": job["name"]},
                    "spec": job["template"]["spec"],
                }
                for job in found["spec"]["replicatedJobs"]
            ]
        for part in parts:
            yield from _schema(json.dumps(part), version)


@functools.cache  # most objects of an overlay are the same whatever was chosen
def _schema(text: str, version: str) -> tuple[str, ...]:
    """Check one object, given as JSON."""
    part = json.loads(text)
    try:
        kubernetes_validate.validate(part, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(map(str, error.path))
        return (f"{_name(part)}: {where}: {error.message} (Kubernetes {version})",)
    except (kubernetes_validate.SchemaNotFoundError, KeyError) as error:
        return (f"{part.get('kind')}: it is no object of Kubernetes {version}: {error}",)
    return ()


def identities(objects: list[Object]) -> Iterator[str]:
    for (kind, name), count in Counter((o["kind"], o["metadata"]["name"]) for o in objects).items():
        if count > 1:
            yield f"{kind} {name} is there {count} times"


def references(objects: list[Object]) -> Iterator[str]:
    """Check the names of other objects, of volumes, and of variables in commands."""
    there = {(o["kind"], o["metadata"]["name"]) for o in objects}
    headless = {
        o["metadata"]["name"] for o in objects if o["kind"] == "Service" and o["spec"].get("clusterIP") == "None"
    }
    for work in pods.workloads(objects):
        wanted = [("ServiceAccount", work.pod["serviceAccountName"])]
        wanted += [("ConfigMap", source["configMapRef"]["name"]) for source in work.container.get("envFrom", [])]
        volumes = {volume["name"]: volume for volume in work.pod["volumes"]}
        claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes.values()]
        wanted += [("PersistentVolumeClaim", claim) for claim in claims if claim]
        for kind, name in wanted:
            if (kind, name) not in there:
                yield f"{work.name}: there is no {kind} {name}"
        for mount in work.container["volumeMounts"]:
            if mount["name"] not in volumes:
                yield f"{work.name}: there is no volume {mount['name']} to mount"
        if work.kind == "Job" and work.pod.get("subdomain") not in headless:
            yield f"{work.name}: its subdomain {work.pod.get('subdomain')} is no headless Service"
        if all(reference in there for reference in wanted):
            for word in pods.command(work.container, pods.environment(work, 0, objects)):
                if "$(" in word:
                    yield f"{work.name}: no environment variable for {word}"


def selectors(objects: list[Object]) -> Iterator[str]:
    """Check that every selector selects some Pods, and the Service and the policy all of them."""
    works = list(pods.workloads(objects))
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "Service":
            chosen = {"matchLabels": spec["selector"]}
        elif found["kind"] == "NetworkPolicy":
            chosen = spec["podSelector"]
        else:
            continue
        for work in works:
            if not _selects(chosen, work.labels):
                yield f"{_name(found)} does not select {work.name}"
    for work in works:
        if "selector" in work.spec and not _selects(work.spec["selector"], work.labels):
            yield f"{work.name} does not select its own Pods"


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(k) == v for k, v in wanted.items()) and all(
        labels.get(e["key"]) in e["values"] for e in expressions
    )


def sizes(objects: list[Object]) -> Iterator[str]:
    """Check that `completions`, `parallelism` and budgets equal the task counts in the Pods' environment."""
    for work in pods.workloads(objects):
        if work.kind == "Job":
            if work.spec["completions"] != work.spec["parallelism"]:
                yield f"{work.name}: {work.spec['completions']} completions, {work.spec['parallelism']} in parallel"
            wanted = _tasks(work, pods.environment(work, 0, objects))
            if work.size != wanted:
                yield f"{work.name}: {work.size} Pods, and its environment says {wanted}"
        for budget in objects:
            protects = budget["kind"] == "PodDisruptionBudget" and _selects(budget["spec"]["selector"], work.labels)
            if protects and budget["spec"]["minAvailable"] != work.size:
                yield f"{_name(budget)}: not {work.size}, the number of {work.name}'s Pods"


def _tasks(work: Workload, variables: dict[str, str]) -> int:
    sizes = {"worker": "CLUSTER_WORKERS", "ps": "CLUSTER_SERVERS"}
    if variables.get("CLUSTER_ROLE") in sizes:
        return int(variables[sizes[variables["CLUSTER_ROLE"]]])
    return int(variables.get("SHARES", "1"))


def addresses(objects: list[Object]) -> Iterator[str]:
    """The TF_CONFIG that each Pod would build names the Pods, the domain and the ports of the manifests.

    The Job whose first Pod it makes the chief is done when that is.
    """
    works = [work for work in pods.workloads(objects) if "CLUSTER_ROLE" in pods.environment(work, 0, objects)]
    ports = {p["targetPort"] for o in objects if o["kind"] == "Service" for p in o["spec"]["ports"]}
    ports &= {p["port"] for o in objects if o["kind"] == "NetworkPolicy" for p in o["spec"]["ingress"][0]["ports"]}
    there = {
        f"{work.name}-{index}.{work.pod['subdomain']}:{port['containerPort']}"
        for work in works
        for index in range(work.size)
        for port in work.container["ports"]
        if port["containerPort"] in ports
    }
    for work in works:
        for index in range(work.size):
            try:
                task = environment.read_task(pods.environment(work, index, objects))
            except UserError as error:
                yield f"{work.name}-{index}: {error}"
                continue
            if task.is_chief and work.size > 1 and work.spec.get("successPolicy") != CHIEF_DECIDES:
                yield f"{work.name}: its successPolicy must be that index 0, the chief, succeeds"
            missing = {address for of_job in task.jobs.values() for address in of_job} - there
            if missing:
                yield f"{work.name}-{index}: no Pod, or no open port, is at {sorted(missing)[0]}"
            if task.role in task.jobs and not task.address.startswith(f"{work.name}-{index}."):
                yield f"{work.name}-{index}: it resolves its own address as {task.address}"


def failures(objects: list[Object]) -> Iterator[str]:
    """Check Jobs: the API server's rules for Indexed Jobs with policies, our exit statuses, and how the Jobs end."""
    for work in pods.workloads(objects):
        if work.kind != "Job":
            continue
        if work.pod["restartPolicy"] != "Never":
            yield f"{work.name}: restartPolicy must be Never, since it has a podFailurePolicy"
        if work.spec.get("podReplacementPolicy") != "Failed":
            yield f"{work.name}: without podReplacementPolicy: Failed two Pods of one index may run at once"
        rules = work.spec["podFailurePolicy"]["rules"]
        on_exit = [(r["action"], r["onExitCodes"]["values"]) for r in rules if "onExitCodes" in r]
        on_disruption = [
            c
            for r in rules
            if r["action"] == "Ignore"
            for c in r.get("onPodConditions", [])
            if c.get("status") == "True"
        ]
        if ("FailJob", [2]) not in on_exit or ("Ignore", [143]) not in on_exit or not on_disruption:
            yield f"{work.name}: its podFailurePolicy must fail on 2, and ignore 143 and disruptions"
        if any(code == 0 for _, codes in on_exit for code in codes):
            yield f"{work.name}: its podFailurePolicy may not name status 0"
        if not work.pod.get("shareProcessNamespace"):
            yield f"{work.name}: as process 1 its program would not get SIGTERM: set shareProcessNamespace"
        if "activeDeadlineSeconds" in work.spec:
            yield f"{work.name}: activeDeadlineSeconds would end a run that goes well"
        if "backoffLimitPerIndex" not in work.spec or "backoffLimit" in work.spec:
            yield f"{work.name}: without backoffLimitPerIndex each failure of one Pod makes all others wait longer"
        fails_as_one = "SHARES" not in pods.environment(work, 0, objects)
        if work.spec.get("maxFailedIndexes") != (0 if fails_as_one else None):
            yield f"{work.name}: maxFailedIndexes must be 0, or missing for shares, which do not need each other"
        if "ttlSecondsAfterFinished" not in work.spec and not work.job_index:
            yield f"{work.name}: without ttlSecondsAfterFinished it is never removed"


def enums(objects: list[Object]) -> Iterator[str]:
    for found in objects:
        for key, value in _fields(found):
            if key in ENUMS and isinstance(value, str) and value not in ENUMS[key]:
                yield f"{_name(found)}: {key} {value} is none of {', '.join(sorted(ENUMS[key]))}"


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


def resources(objects: list[Object]) -> Iterator[str]:
    """Check that requests and limits are quantities, and that no request exceeds its limit."""
    for work in pods.workloads(objects):
        asked = work.container.get("resources", {})
        for name in ("cpu", "memory", "ephemeral-storage"):
            try:
                least, most = (parse_quantity(asked[kind][name]) for kind in ("requests", "limits"))
            except (KeyError, ValueError) as error:
                yield f"{work.name}: no sound request and limit of {name}: {error}"
                continue
            if least > most:
                yield f"{work.name}: it asks for more {name} than its limit"


def policies(objects: list[Object]) -> Iterator[str]:
    """Check that only Pods of the same run reach TensorFlow's ports."""
    found = [one for one in objects if one["kind"] == "NetworkPolicy"]
    if not found:
        yield "there is no NetworkPolicy to guard TensorFlow's ports"
    for policy in found:
        spec = policy["spec"]
        if spec["policyTypes"] != ["Ingress"] or [i["from"] for i in spec["ingress"]] != [
            [{"podSelector": spec["podSelector"]}]
        ]:
            yield f"{_name(policy)} must let in Pods of the same run, and nothing else"


def security(objects: list[Object]) -> Iterator[str]:
    """Check the `restricted` profile of Pod Security, and our own stricter rules."""
    for work in pods.workloads(objects):
        pod, container = work.pod, work.container
        own, of_pod = (part.get("securityContext", {}) for part in (container, pod))
        rules = {
            "runAsNonRoot": of_pod.get("runAsNonRoot") is True and of_pod.get("runAsUser", 0) > 0,
            "seccompProfile RuntimeDefault": of_pod.get("seccompProfile") == {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
            "all capabilities dropped": own.get("capabilities") == {"drop": ["ALL"]},
            "a read-only root file system": own.get("readOnlyRootFilesystem") is True,
            "no privileges": not own.get("privileged")
            and not any(pod.get(f"host{x}") for x in ("PID", "IPC", "Network")),
            "no host ports": not any("hostPort" in port for port in container.get("ports", [])),
            "no token": pod.get("automountServiceAccountToken") is False,
            "volumes of emptyDir or claims": all(
                {"emptyDir", "persistentVolumeClaim"} & v.keys() for v in pod["volumes"]
            ),
            "a tag, and not latest": ":" in container["image"] and not container["image"].endswith(":latest"),
            "one container": len(pod["containers"]) == 1 and "initContainers" not in pod,
        }
        yield from (f"{work.name}: it must have {rule}" for rule, held in rules.items() if not held)


def _name(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


STAGES = ((identities, references), (selectors, sizes, addresses, failures, enums, resources, policies, security))
