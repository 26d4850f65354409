"""Diagnose what keeps a Pod or a Job from running, in one line that says what to do."""

import re
from typing import Any

from k8s import Object

PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
STARTING = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
NEW_POD = r'^Error creating: pods "[^"]*" is forbidden: '  # the Pod's name differs each time
COUNTS = ("batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count")


def state(pod: Object) -> str:
    """Return the state of a Pod in a word or two: `Running`, `Unschedulable`, `Failed (42)`."""
    if "deletionTimestamp" in pod["metadata"] and pod["status"].get("phase") in ("Pending", "Running"):
        return "Terminating"
    waiting, ended = _container(pod)
    if waiting:
        return waiting.get("reason", "Waiting")
    if ended and pod["status"]["phase"] == "Failed":
        return f"Failed ({ended.get('reason') if ended.get('reason') == 'OOMKilled' else ended.get('exitCode')})"
    if _unschedulable(pod):
        return "Unschedulable"
    return pod["status"].get("reason") or pod["status"].get("phase", "Unknown")


def problem(pod: Object) -> str | None:
    """Return what is wrong with a Pod, or why it failed; None if it is healthy, or only starting or restarting."""
    name, status = pod["metadata"]["name"], pod["status"]
    lacking = _unschedulable(pod)
    if lacking is not None:
        return f"{name} is unschedulable: {_lacks(pod, lacking)}"
    waiting, ended = _container(pod)
    image = pod["spec"]["containers"][0].get("image", "")
    if waiting and waiting.get("reason") in PULLING:
        why = _sentence(waiting.get("message", waiting["reason"]))
        return f"{name}: image {image} cannot be pulled: {why}; push it, load it into kind, or give --image"
    if waiting and waiting.get("reason") in STARTING:
        return f"{name} cannot start: {_sentence(waiting.get('message', waiting['reason']))}"
    if ended and ended.get("reason") == "OOMKilled":
        limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory", "unknown")
        return f"{name} ran out of memory, limit {limit}: raise limits.memory in its overlay, or lower the batch size"
    if status.get("reason") == "Evicted":
        return f"{name} was evicted: {_sentence(status.get('message', 'no reason given'))}"
    return None


def refusals(events: list[Object], jobs: set[str]) -> dict[str, str]:
    """Return why Pods of these Jobs could not be created (quota, policies, admission), by the name of the Job."""
    lines = {}
    for event in events:
        about = event.get("involvedObject", {})
        if about.get("kind") == "Job" and about.get("name") in jobs and event.get("reason") == "FailedCreate":
            message = re.sub(NEW_POD, "", _sentence(event.get("message", "")))
            advice = "request less, or ask for more quota" if "quota" in message else "see kubectl describe job"
            lines[about["name"]] = f"{about['name']}: Pods cannot be created: {message}; {advice}"
    return lines


def restarts(pods: list[Object]) -> int:
    """Return how often the Pod of one index was replaced or restarted, given the Pods that still exist, oldest first.

    The Job controller counts all replaced Pods, including those that no longer exist, in annotations of the newest one.
    """
    notes = pods[-1]["metadata"].get("annotations", {})
    replaced = max(len(pods) - 1, sum(int(notes.get(name, 0)) for name in COUNTS))
    return replaced + sum(s.get("restartCount", 0) for p in pods for s in p["status"].get("containerStatuses", []))


def exit_code(pod: Object) -> int | None:
    """Return the exit code of the Pod's process; None if it has not ended."""
    ended = _container(pod)[1]
    return ended.get("exitCode") if ended else None


def _unschedulable(pod: Object) -> str | None:
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return condition.get("message", "")
    return None


def _lacks(pod: Object, message: str) -> str:
    """Return what a Pod lacks, parsed from the scheduler's message, which is the only source, and what to do."""
    resources = sorted(set(re.findall(r"Insufficient ([\w./-]*\w)", message)))
    if not resources and "unbound immediate PersistentVolumeClaims" in message:
        volumes = pod["spec"].get("volumes", [])
        names = [v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v]
        return (
            f"its volume is not bound ({_sentence(message)}); see kubectl describe pvc {' '.join(names)}: does the "
            "cluster have a default storage class? Otherwise use --storage"
        )
    short = f"no node has enough {', '.join(resources)}" if resources else "no node accepts it"
    return f"{short} ({_sentence(message)}); request less, or add nodes"


def _sentence(message: str) -> str:
    """Return a message of the cluster on one line and without its full stop, for use within a sentence."""
    return " ".join(message.split()).rstrip(".")


def _container(pod: Object) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the waiting and the terminated state of a Pod's container; each is None if the container is not in it."""
    for status in pod["status"].get("containerStatuses", []):
        return status.get("state", {}).get("waiting"), status.get("state", {}).get("terminated")
    return None, None
