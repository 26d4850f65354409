"""What keeps a Pod or a Job from running, in a line that says what to do."""

import re
from typing import Any

from k8s import Object

PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
STARTING = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def state(pod: Object) -> str:
    """What a Pod does, in a word or two: `Running`, `Unschedulable`, `Failed (42)`."""
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
    """What a Pod suffers from, or died of; None where it is well, or merely starting or restarting."""
    name, status = pod["metadata"]["name"], pod["status"]
    lacking = _unschedulable(pod)
    if lacking is not None:
        resources = sorted(set(re.findall(r"Insufficient ([\w./-]+)", lacking)))
        short = f"no node has enough {', '.join(resources)}" if resources else "no node takes it"
        return f"{name} is unschedulable: {short} ({lacking}); ask for less, or add nodes"
    waiting, ended = _container(pod)
    image = pod["spec"]["containers"][0].get("image", "")
    if waiting and waiting.get("reason") in PULLING:
        why = waiting.get("message", waiting["reason"])
        return f"{name}: image {image} cannot be pulled: {why}; push it, load it into kind, or give --image"
    if waiting and waiting.get("reason") in STARTING:
        return f"{name} cannot start: {waiting.get('message', waiting['reason'])}"
    if ended and ended.get("reason") == "OOMKilled":
        limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory", "its limit")
        return f"{name} ran out of memory: it may have {limit}; raise limits.memory in its overlay, or lower the batch"
    if status.get("reason") == "Evicted":
        return f"{name} was evicted: {status.get('message', 'no reason given')}"
    return None


def refusals(events: list[Object], jobs: set[str]) -> dict[str, str]:
    """Why Pods of these Jobs could not even be made: quota, policies, admission; by the name of the Job."""
    found = {}
    for event in events:
        about = event.get("involvedObject", {})
        if about.get("kind") == "Job" and about.get("name") in jobs and event.get("reason") == "FailedCreate":
            message = event.get("message", "")
            advice = "ask for less, or for more quota" if "quota" in message else "see kubectl describe job"
            found[about["name"]] = f"{about['name']}: no Pod can be made: {message}; {advice}"
    return found


def exit_code(pod: Object) -> int | None:
    """What the Pod's process ended with; None where it has not."""
    ended = _container(pod)[1]
    return ended.get("exitCode") if ended else None


def _unschedulable(pod: Object) -> str | None:
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return condition.get("message", "")
    return None


def _container(pod: Object) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """How its container waits, and how it ended."""
    for status in pod["status"].get("containerStatuses", []):
        return status.get("state", {}).get("waiting"), status.get("state", {}).get("terminated")
    return None, None
