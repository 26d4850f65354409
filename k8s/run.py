"""A run in a cluster: inspect it, start it, and remove it."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from k8s import Object, diagnose
from k8s.client import INSTANCE, OF_A_RUN, Cluster
from trainer.cli import UserError

COMPONENT = "app.kubernetes.io/component"
DIGEST = "svhn-sequences/digest"
INDEX = "batch.kubernetes.io/job-completion-index"
JOB = "batch.kubernetes.io/job-name"
DECIDING = ("chief", "trainer")  # the first that exists decides; otherwise the run's first Job: workers, or a pipeline
FOLLOWERS = ("worker", "ps")  # if there is a chief, these end with it
WORKLOADS = ("JobSet", "Job", "Deployment")
REMOVAL_SECONDS = 600.0


@dataclass(frozen=True)
class Snapshot:
    """The state of a run in the cluster.

    Attributes:
      version: of the list of Pods; watch for changes from this version on.
    """

    jobs: list[Object] = field(default_factory=list)
    job_sets: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    version: str = ""

    def deciding(self) -> Object | None:
        """Return the Job whose result is the run's."""
        by_role = {_role(job): job for job in self.jobs}
        return next((by_role[role] for role in DECIDING if role in by_role), next(iter(self.jobs), None))

    def chief(self) -> Object | None:
        """Return the newest Pod of the deciding Job's first index, whose log shows the progress; else any Pod."""
        job = self.deciding()
        pods = self.of(job["metadata"]["name"], "0") if job else self.pods
        return max(pods, key=_created, default=None)

    def newest_of_all(self) -> list[Object]:
        """Return the newest Pod of each Job and index."""
        return [self.of(*at)[-1] for at in self.places()]

    def of(self, job: str, index: str) -> list[Object]:
        """Return all Pods that a Job has had at an index, oldest first."""
        return sorted((pod for pod in self.pods if place(pod) == (job, index)), key=_created)

    def places(self) -> list[tuple[str, str]]:
        return sorted({place(pod) for pod in self.pods}, key=lambda at: (at[0], int(at[1] or 0)))

    def result(self) -> str | None:
        """Return None while the run is under way, then `Complete` or why it failed.

        A run is over when the deciding Job has failed, or when both it and the evaluator, if any, are complete.
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
        """Return 0 if the run is complete, 2 if a Pod reported a user error, else 1."""
        if self.result() == "Complete":
            return 0
        return 2 if any(diagnose.exit_code(pod) == 2 for pod in self.pods) else 1

    def problems(self) -> dict[str, str]:
        """Return what prevents the run from progressing, by the name of the affected Pod or Job."""
        lines = {pod["metadata"]["name"]: line for pod in self.newest_of_all() if (line := diagnose.problem(pod))}
        short = {job["metadata"]["name"] for job in self.jobs if _result(job) is None and _is_short(job, self.pods)}
        deciding = self.deciding()
        if deciding and _role(deciding) == "chief" and not self.job_sets:  # a JobSet recreates failed Jobs
            for job in self.jobs:
                result = _result(job) if _role(job) in FOLLOWERS else None
                if result not in (None, "Complete"):
                    name = job["metadata"]["name"]
                    lines[name] = f"{result}; see kubectl logs job/{name}, and delete the run"
        return lines | diagnose.refusals(self.events, short)


def place(pod: Object) -> tuple[str, str]:
    """Return the Job and the index of a Pod; a Deployment's Pod has neither, and stands for itself."""
    labels, notes = pod["metadata"].get("labels", {}), pod["metadata"].get("annotations", {})
    return labels.get(JOB, pod["metadata"]["name"]), labels.get(INDEX, notes.get(INDEX, ""))


def _created(pod: Object) -> str:
    return pod["metadata"].get("creationTimestamp", "")


def look(cluster: Cluster, name: str) -> Snapshot:
    """Return the current state of the run."""
    pods, version = cluster.list("Pod", name)  # first, so that the watch sees all later changes
    jobs, _ = cluster.list("Job", name)
    # Events are only needed if Pods are missing.
    events = cluster.list("Event")[0] if any(_is_short(job, pods) for job in jobs) else []
    return Snapshot(jobs, cluster.list("JobSet", name)[0], pods, events, version)


def find(cluster: Cluster, name: str) -> Snapshot:
    """Return the current state of the run.

    Raises:
      UserError: no run has that name.
    """
    snapshot = look(cluster, name)
    if not snapshot.jobs and not snapshot.pods:
        raise UserError(f"run {name} does not exist in namespace {cluster.namespace}: see kubectl get jobs")
    return snapshot


def start(cluster: Cluster, name: str, objects: list[Object], tell: Callable[[str], None]) -> bool:
    """Apply a run, after removing what is left of an earlier one with the same name.

    Args:
      tell: called with a line about the progress of the removal.
    Returns:
      False if exactly this run is already under way, so that nothing was done. A server with other options is updated
      Pod by Pod.
    Raises:
      UserError: another run with this name is under way, or one that was started by kubectl.
    """
    digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()[:16]
    existing = [workload["metadata"] for kind in WORKLOADS for workload in cluster.list(kind, name)[0]]
    # Leave out those that a JobSet created.
    existing = [metadata for metadata in existing if not metadata.get("ownerReferences")]
    if existing and look(cluster, name).result() is None:
        workloads = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] in WORKLOADS}
        same = workloads.keys() == {metadata["name"] for metadata in existing}
        rolls = same and all("rollingUpdate" in spec.get("strategy", {}) for spec in workloads.values())
        known = all(metadata.get("annotations", {}).get(DIGEST) == digest for metadata in existing)
        if not (known or rolls):
            raise UserError(
                f"run {name} is under way with other options, or was started by kubectl: inspect it with "
                f"python -m k8s.submit status --name {name}, remove it with delete, or choose another --name"
            )
        if known and same:
            return False  # otherwise only some objects were applied: apply all now
    elif existing or cluster.list("Pod", name)[0]:
        tell(f"removing what an earlier run left under the name {name}")
        remove(cluster, name, tell)
    for manifest in sorted(objects, key=lambda o: o["kind"] in WORKLOADS):  # objects that create Pods come last
        annotations = {**manifest["metadata"].get("annotations", {}), DIGEST: digest}
        marked = {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
        cluster.apply(marked if manifest["metadata"].get("labels", {}).get(INSTANCE) == name else manifest)
    return True


def remove(cluster: Cluster, name: str, tell: Callable[[str], None], *, seconds: float = REMOVAL_SECONDS) -> int:
    """Remove all objects of a run, except the storage, and wait until they and its Pods are gone.

    Otherwise an old and a new Pod could have the same host name at the same time, and changes applied to an object
    that is being removed would be lost.

    Args:
      tell: called with a line each time that the number of remaining objects and Pods has changed.
    Returns:
      The number of objects and Pods removed.
    Raises:
      UserError: some still exist after `seconds`.
    """
    existing = [(kind, o["metadata"]["name"]) for kind in OF_A_RUN for o in cluster.list(kind, name)[0]]
    for kind, object_name in existing:
        cluster.delete(kind, object_name)
    deadline = time.monotonic() + seconds
    removed, told = 0, 0
    while True:
        left, version = cluster.list("Pod", name)
        seconds_to_look = 5.0 if left else 1.0  # changes of Pods are watched, those of other objects are not
        pods = len(left)
        left += [o for kind in OF_A_RUN if kind in dict(existing) for o in cluster.list(kind, name)[0]]
        removed = removed or len(existing) + pods
        if not left:
            return removed
        names = ", ".join(o["metadata"]["name"] for o in left[:3]) + ", ..." * (len(left) > 3)
        if time.monotonic() > deadline:
            raise UserError(f"after {seconds:.0f} s not removed: {names}; see kubectl describe: is its node gone?")
        if len(left) != told:
            tell(f"removing run {name}: {pods} Pods and {len(left) - pods} other objects left ({names})")
        told = len(left)
        cluster.wait_for_change(name, version, min(seconds_to_look, seconds))


def _is_short(job: Object, pods: list[Object]) -> bool:
    """Return whether a Job has fewer Pods than it should run in parallel."""
    name = job["metadata"]["name"]
    return len({place(pod) for pod in pods if place(pod)[0] == name}) < job["spec"].get("parallelism", 1)


def _role(job: Object) -> str:
    return job["metadata"].get("labels", {}).get(COMPONENT, "")


def _result(job: Object) -> str | None:
    for condition in job.get("status", {}).get("conditions", []):
        # SuccessCriteriaMet and FailureTarget come first, while Pods are still terminating.
        if condition["type"] in ("Complete", "Completed", "Failed") and condition["status"] == "True":
            return _why(job, condition) if condition["type"] == "Failed" else "Complete"
    return None


def _why(job: Object, condition: dict[str, Any]) -> str:
    return f"{job['metadata']['name']} failed: {condition.get('reason', '')}: {condition.get('message', '')}"
