"""The Pods that a cluster would create from objects: their names, labels, environment and command."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from k8s import Object

JOB_INDEX = "metadata.annotations['jobset.sigs.k8s.io/job-index']"


@dataclass(frozen=True)
class Workload:
    """What makes Pods.

    Attributes:
      name: the prefix of its Pods' names.
      spec: that of its Job or Deployment.
      job_index: its place among the Jobs of a JobSet; empty elsewhere.
    """

    name: str
    kind: str
    spec: dict[str, Any]
    job_index: str = ""

    @property
    def size(self) -> int:
        return self.spec["completions"] if self.kind == "Job" else self.spec["replicas"]

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of its Pods."""
        return self.spec["template"]["metadata"]["labels"]

    @property
    def pod(self) -> dict[str, Any]:
        """Return the specification of its Pods."""
        return self.spec["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        return self.pod["containers"][0]


def workloads(objects: list[Object]) -> Iterator[Workload]:
    """Yield all objects that create Pods, including those in a JobSet."""
    for found in objects:
        name = found["metadata"]["name"]
        if found["kind"] in ("Job", "Deployment"):
            yield Workload(name, found["kind"], found["spec"])
        elif found["kind"] == "JobSet":
            for job in found["spec"]["replicatedJobs"]:
                yield Workload(f"{name}-{job['name']}-0", "Job", job["template"]["spec"], "0")


def environment(workload: Workload, index: int, objects: list[Object]) -> dict[str, str]:
    """The environment of the container of one Pod.

    Raises:
      KeyError: it names a ConfigMap that is not there.
    """
    maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in workload.container.get("envFrom", []):
        found.update(maps[source["configMapRef"]["name"]])
    for entry in workload.container.get("env", []):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        elif entry["valueFrom"]["fieldRef"]["fieldPath"] == JOB_INDEX:
            found[entry["name"]] = workload.job_index
    if workload.spec.get("completionMode") == "Indexed":
        found["JOB_COMPLETION_INDEX"] = str(index)
    return found


def command(container: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """Return the command of a container; a reference to a missing variable stays as written, as in a cluster."""
    words = [*container.get("command", []), *container.get("args", [])]
    return [re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), word) for word in words]
