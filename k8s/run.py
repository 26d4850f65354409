"""A run in a cluster: what there is of it, starting it, and removing it."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from k8s import Object, diagnose
from k8s.client import INSTANCE, OF_A_RUN, Cluster
from trainer.cli import UserError

COMPONENT = "app.kubernetes.io/component"
DIGEST = "svhn-sequences/digest"
INDEX = "batch.kubernetes.io/job-completion-index"
JOB = "batch.kubernetes.io/job-name"
DECIDING = ("chief", "trainer")  # the first there is decides; else a synchronous worker, or a pipeline
FOLLOWERS = ("worker", "ps")  # where there is a chief, they end with it
WORKLOADS = ("JobSet", "Job", "Deployment")
REMOVAL_SECONDS = 600.0


@dataclass(frozen=True)
class Snapshot:
    """A run as the cluster has it.

    Attributes:
      version: of the list of Pods, from which to watch for changes.
    """

    jobs: list[Object] = field(default_factory=list)
    job_sets: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    version: str = ""

    def deciding(self) -> Object | None:
        """The Job whose result is the run's."""
        by_role = {_role(job): job for job in self.jobs}
        return next((by_role[role] for role in DECIDING if role in by_role), next(iter(self.jobs), None))

    def chief(self) -> Object | None:
        """The newest Pod of the deciding Job's first index: the one whose log tells how far it is."""
        job = self.deciding()
        return self.newest(job["metadata"]["name"], "0") if job else None

    def newest(self, job: str, index: str) -> Object | None:
        return next(reversed(self.of(job, index)), None)

    def of(self, job: str, index: str) -> list[Object]:
        """All Pods that there were at a place of a Job, the oldest first."""
        found = [pod for pod in self.pods if place(pod) == (job, index)]
        return sorted(found, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))

    def places(self) -> list[tuple[str, str]]:
        return sorted({place(pod) for pod in self.pods}, key=lambda at: (at[0], int(at[1] or 0)))

    def result(self) -> str | None:
        """None while it runs; `Complete`; or why it failed.

        It is over when the deciding Job has failed, or is complete and the evaluator, if any, is done, too.
        """
        if self.job_sets:  # it may recreate failed Jobs
            return _result(self.job_sets[0])
        deciding = self.deciding()
        if deciding is None:
            return None
        follow = FOLLOWERS if _role(deciding) == "chief" else ()
        waited = [deciding] + [job for job in self.jobs if job is not deciding and _role(job) not in follow]
        results = [_result(job) for job in waited]
        if results[0] not in (None, "Complete"):
            return results[0]
        return None if None in results else next((r for r in results if r != "Complete"), "Complete")

    def exit_status(self) -> int:
        """0 if it is complete, 2 if a Pod said that it was the user's mistake, else 1."""
        if self.result() == "Complete":
            return 0
        return 2 if any(diagnose.exit_code(pod) == 2 for pod in self.pods) else 1

    def problems(self) -> dict[str, str]:
        """What keeps the run from going on, by the name of the Pod or Job that has it."""
        newest = [pod for job, index in self.places() if (pod := self.newest(job, index))]
        found = {pod["metadata"]["name"]: line for pod in newest if (line := diagnose.problem(pod))}
        short = {job["metadata"]["name"] for job in self.jobs if _result(job) is None and _is_short(job, self.pods)}
        deciding = self.deciding()
        if deciding and _role(deciding) == "chief" and not self.job_sets:  # a JobSet recreates failed Jobs
            for job in self.jobs:
                result = _result(job) if _role(job) in FOLLOWERS else None
                if result not in (None, "Complete"):
                    name = job["metadata"]["name"]
                    found[name] = f"{result}; see kubectl logs job/{name}, and delete the run"
        return found | diagnose.refusals(self.events, short)


def place(pod: Object) -> tuple[str, str]:
    """The Job and the index of a Pod; a Deployment's Pod has neither."""
    labels, notes = pod["metadata"].get("labels", {}), pod["metadata"].get("annotations", {})
    return labels.get(JOB, labels.get(COMPONENT, "")), labels.get(INDEX, notes.get(INDEX, ""))


def look(cluster: Cluster, name: str) -> Snapshot:
    """The run as it is now."""
    pods, version = cluster.list("Pod", name)  # first: what changes from now on wakes the watch
    jobs, _ = cluster.list("Job", name)
    # Events are worth a request only where Pods are missing.
    events = cluster.list("Event")[0] if any(_is_short(job, pods) for job in jobs) else []
    return Snapshot(jobs, cluster.list("JobSet", name)[0], pods, events, version)


def find(cluster: Cluster, name: str) -> Snapshot:
    """The run as it is now.

    Raises:
      UserError: there is none of that name.
    """
    snapshot = look(cluster, name)
    if not snapshot.jobs and not snapshot.pods:
        raise UserError(f"there is no run {name} in namespace {cluster.namespace}: see kubectl get jobs")
    return snapshot


def start(cluster: Cluster, name: str, objects: list[Object]) -> bool:
    """Applies a run, after what is left of an earlier one of that name is gone.

    Returns:
      False if just this run is there and under way: nothing was done.
    Raises:
      UserError: another run of that name is under way, or one that kubectl has started.
    """
    digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()[:16]
    there = [found["metadata"] for kind in ("JobSet", "Job") for found in cluster.list(kind, name)[0]]
    there = [metadata for metadata in there if not metadata.get("ownerReferences")]  # not those that a JobSet made
    if there and look(cluster, name).result() is None:
        if any(metadata.get("annotations", {}).get(DIGEST) != digest for metadata in there):
            raise UserError(
                f"run {name} is under way with other options, or was started by kubectl: see it by "
                f"python -m k8s.submit status --name {name}, remove it by delete, or choose another --name"
            )
        wanted = {found["metadata"]["name"] for found in objects if found["kind"] in ("JobSet", "Job")}
        if wanted == {metadata["name"] for metadata in there}:
            return False  # else not all was applied, and now is
    elif there or cluster.list("Pod", name)[0]:
        remove(cluster, name)
    for found in sorted(objects, key=lambda o: o["kind"] in WORKLOADS):  # what makes Pods last
        notes = {**found["metadata"].get("annotations", {}), DIGEST: digest}
        marked = {**found, "metadata": {**found["metadata"], "annotations": notes}}
        cluster.apply(marked if found["metadata"].get("labels", {}).get(INSTANCE) == name else found)
    return True


def remove(cluster: Cluster, name: str, *, seconds: float = REMOVAL_SECONDS) -> int:
    """Removes all objects of a run, but not the storage, and waits until they are gone, and its Pods.

    Two Pods of one host name, an old one and a new one, would otherwise be there at once; and what is applied to
    an object that is being removed goes with it.

    Returns:
      How many objects there were.
    Raises:
      UserError: there still are some after so many seconds.
    """
    found = [(kind, o["metadata"]["name"]) for kind in OF_A_RUN for o in cluster.list(kind, name)[0]]
    for kind, object_name in found:
        cluster.delete(kind, object_name)
    deadline = time.monotonic() + seconds
    while True:
        left, version = cluster.list("Pod", name)
        seconds_to_look = 5.0 if left else 1.0  # Pods are watched, the others are not
        left += [o for kind in OF_A_RUN if kind in dict(found) for o in cluster.list(kind, name)[0]]
        if not left:
            return len(found)
        if time.monotonic() > deadline:
            names = ", ".join(o["metadata"]["name"] for o in left[:3])
            raise UserError(f"after {seconds:.0f} s there still is {names}: see kubectl describe, is its node gone?")
        cluster.wait_for_change(name, version, min(seconds_to_look, seconds))


def _is_short(job: Object, pods: list[Object]) -> bool:
    """Whether it has fewer Pods than it should have at once."""
    name = job["metadata"]["name"]
    return len({place(pod) for pod in pods if place(pod)[0] == name}) < job["spec"].get("parallelism", 1)


def _role(job: Object) -> str:
    return job["metadata"].get("labels", {}).get(COMPONENT, "")


def _result(job: Object) -> str | None:
    for condition in job.get("status", {}).get("conditions", []):
        # SuccessCriteriaMet and FailureTarget come first, while Pods are still being ended.
        if condition["type"] in ("Complete", "Completed", "Failed") and condition["status"] == "True":
            return _why(job, condition) if condition["type"] == "Failed" else "Complete"
    return None


def _why(job: Object, condition: dict[str, Any]) -> str:
    return f"{job['metadata']['name']} failed: {condition.get('reason', '')}: {condition.get('message', '')}"
