"""A small Kubernetes API server over real HTTP: apply, list, watch, delete, logs; and faults on request."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

from k8s.client import APIS
from tests.http_server import QuietHandler, running

Object = dict[str, Any]
TOKEN = "secret-of-the-test"


@dataclass
class Fault:
    """A fault: the next `times` requests of a method whose path contains `part` get this status.

    0 closes the connection, 200 answers with a proxy's page, and 206 with half of it.
    """

    method: str
    part: str
    status: int
    message: str = "injected"
    times: int = 1
    retry_after: str = "0"


@dataclass
class State:
    """What the server knows.

    Attributes:
      play: called in a thread of its own with each Job that is created; it plays the controllers and nodes.
      logs: of each Pod, (seconds to wait, text); None for the text cuts the stream off.
      linger: seconds that what is deleted stays, by its kind's plural; Pods stay as long as their Job.
      open: whether requests without a token are answered, too; kubectl sends none over plain HTTP.
      dying: names of objects that were applied while they were being deleted, and went with that.
    """

    play: Callable[["State", Object], None] = lambda state, job: None
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    logs: dict[str, list[tuple[float, str | None]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    linger: dict[str, float] = field(default_factory=dict)
    dying: list[str] = field(default_factory=list)
    open: bool = False
    version: int = 1
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, plural: str, found: Object) -> None:
        with self.changed:
            self.version += 1
            self.objects[plural, found["metadata"]["name"]] = found
            self.changed.notify_all()

    def drop(self, plural: str, name: str) -> None:
        with self.changed:
            self.version += 1
            self.objects.pop((plural, name), None)
            self.changed.notify_all()

    def pod(self, job: Object, index: int, phase: str, *, attempt: int = 0, **status: Any) -> str:
        """Set the state of a Pod of a Job; return its name."""
        of_job = job["metadata"]["name"]
        name = f"{of_job}-{index}-{attempt}"
        labels = {
            **job["spec"]["template"]["metadata"]["labels"],
            "batch.kubernetes.io/job-name": of_job,
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        made = f"2026-11-21T00:00:{attempt:02d}Z"
        metadata = {"name": name, "labels": labels, "creationTimestamp": made}
        spec = {**job["spec"]["template"]["spec"], "nodeName": "node-1"}
        self.put("pods", {"metadata": metadata, "spec": spec, "status": {"phase": phase, **status}})
        return name

    def end(self, job: Object, kind: str, **condition: str) -> None:
        """End a Job as `Complete` or `Failed`."""
        self.put("jobs", {**job, "status": {"conditions": [{"type": kind, "status": "True", **condition}]}})


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    """Return the status of a Pod whose container has ended."""
    return {"containerStatuses": [{"restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": reason}}}]}


def waiting(reason: str, message: str) -> dict[str, Any]:
    """Return the status of a Pod whose container is waiting."""
    return {"containerStatuses": [{"restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]}


@contextmanager
def serve(state: State) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; yield the URL."""
    with running(type("Handler", (_Handler,), {"state": state})) as port:
        yield f"http://127.0.0.1:{port}"


class _Handler(QuietHandler):
    state: State
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route()

    def do_PATCH(self) -> None:
        self._route()

    def do_DELETE(self) -> None:
        self._route()

    def _route(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.state.requests.append((self.command, self.path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not self.state.open:
            return self._refuse(401, "Unauthorized")
        for fault in self.state.faults:
            if fault.times and fault.method == self.command and fault.part in self.path:
                fault.times -= 1
                if not fault.status:
                    self.close_connection = True
                    return None
                if fault.status < 300:
                    self._begin()
                    self._chunk(b"<html>")
                    self.close_connection = fault.status == 206
                    return None if self.close_connection else self._chunk(b"")
                return self._refuse(fault.status, fault.message, fault.retry_after)
        if "/namespaces/" not in url.path:
            return self._discover(url.path.strip("/").split("/"))
        plural, _, rest = url.path.partition("/namespaces/team/")[2].partition("/")
        name, _, sub = rest.partition("/")
        if self.command == "PATCH":
            return self._apply(plural, name, query, json.loads(body))
        if self.command == "DELETE":
            return self._delete(plural, name)
        if sub == "log":
            return self._log(name, query)
        if name:
            found = self.state.objects.get((plural, name))
            return self._answer(found) if found else self._refuse(404, f'{plural} "{name}" not found')
        return self._watch(query) if query.get("watch") else self._list(plural, query)

    def _discover(self, path: list[str]) -> None:
        """Answer what kubectl asks first: the groups, and the kinds in each of them."""
        versions: dict[str, list[Object]] = {version: [] for version, _ in APIS.values()}
        for kind, (version, plural) in APIS.items():
            versions[version].append({"name": plural, "kind": kind, "namespaced": True, "verbs": ["get", "patch"]})
        if path == ["api"]:
            return self._answer({"kind": "APIVersions", "versions": ["v1"]})
        if path == ["apis"]:
            groups = [
                {"name": version.partition("/")[0], "versions": [{"groupVersion": version, "version": number}]}
                for version in versions
                if (number := version.partition("/")[2])
            ]
            return self._answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        version = "/".join(path[1:])
        if version not in versions:
            return self._refuse(404, "not found")
        kinds = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
        return self._answer({**kinds, "resources": versions[version]})

    def _apply(self, plural: str, name: str, query: dict[str, str], found: Object) -> None:
        if self.headers["Content-Type"] == "application/strategic-merge-patch+json":
            return self._annotate(self.state.objects[plural, name], found)
        if self.headers["Content-Type"] != "application/apply-patch+yaml" or not query.get("fieldManager"):
            return self._refuse(415, "no server-side apply")
        if query.get("fieldValidation") == "Strict":
            try:
                kubernetes_validate.validate(found, "1.37", strict=True)
            except kubernetes_validate.ValidationError as error:
                return self._refuse(400, f"strict decoding error: {error.message}")
        new = (plural, name) not in self.state.objects
        if not new and "deletionTimestamp" in self.state.objects[plural, name]["metadata"]:
            self.state.dying.append(name)
        self.state.put(plural, found)
        if new and plural == "jobs":
            threading.Thread(target=self.state.play, args=(self.state, found), daemon=True).start()
        return self._answer(found, 201 if new else 200)

    def _annotate(self, live: Object, patch: Object) -> None:
        """Take the patch of a `kubectl apply` that changes nothing but annotations; None removes one."""
        if any(
            live[part].get(key) != value for part in patch.keys() - {"metadata"} for key, value in patch[part].items()
        ):
            return self._refuse(415, "more than annotations would change")
        annotations = live["metadata"].get("annotations", {}) | patch["metadata"].get("annotations", {})
        live["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        return self._answer(live)

    def _delete(self, plural: str, name: str) -> None:
        if (plural, name) not in self.state.objects:
            return self._refuse(404, f'{plural} "{name}" not found')
        self.state.objects[plural, name]["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z"

        def remove() -> None:
            time.sleep(self.state.linger.get(plural, 0.0))
            for pod in [n for p, n in list(self.state.objects) if p == "pods" and plural == "jobs"]:
                labels = self.state.objects["pods", pod]["metadata"]["labels"]
                if labels["batch.kubernetes.io/job-name"] == name:
                    self.state.drop("pods", pod)
            self.state.drop(plural, name)

        threading.Thread(target=remove, daemon=True).start()
        return self._answer({"kind": "Status", "status": "Success"})

    def _list(self, plural: str, query: dict[str, str]) -> None:
        key, _, value = query.get("labelSelector", "").partition("=")
        with self.state.changed:
            items = [
                found
                for (of, _), found in self.state.objects.items()
                if of == plural and (not key or found["metadata"].get("labels", {}).get(key) == value)
            ]
            version = str(self.state.version)
        self._answer({"metadata": {"resourceVersion": version}, "items": items})

    def _watch(self, query: dict[str, str]) -> None:
        with self.state.changed:
            since = int(query["resourceVersion"])
            self.state.changed.wait_for(lambda: self.state.version > since, float(query["timeoutSeconds"]))
            changed = self.state.version > since
        self._begin()
        if changed:
            self._chunk(b'{"type": "MODIFIED", "object": {}}\n')
        self._chunk(b"")

    def _log(self, pod: str, query: dict[str, str]) -> None:
        if pod not in self.state.logs:
            return self._refuse(400, f"container of pod {pod} is waiting to start")
        self._begin()
        for number, (seconds, text) in enumerate(list(self.state.logs[pod])):
            moment = f"2026-11-21T00:00:{number:02d}.000000000Z"
            if moment < query.get("sinceTime", ""):
                continue
            time.sleep(seconds)
            if text is None:  # half a line, and the connection is gone
                self.state.logs[pod][number] = (0.0, "after the cut")
                self._chunk(f"{moment} after th".encode())
                self.close_connection = True
                return None
            self._chunk(f"{moment} {text}\n".encode())
        return self._chunk(b"")

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _answer(self, content: Object, status: int = 200, retry_after: str = "") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, message: str, retry_after: str = "") -> None:
        content = {"kind": "Status", "status": "Failure", "code": status, "message": message}
        self._answer(content, status, retry_after)
