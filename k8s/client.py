"""A cluster's API: our few kinds of objects, retries, and refusals in a line that says what to do.

Objects go in and come out as they are in YAML. The typed models of the client library would drop
misspelt fields; the server is asked to refuse them instead.
"""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from k8s.kustomize import Object
from trainer.cli import UserError

MANAGER = "svhn-submit"
INSTANCE = "app.kubernetes.io/instance"

# Kind -> where the API has it; in this order a run is removed, what makes Pods first.
PATHS = {
    "JobSet": ("/apis/jobset.x-k8s.io/v1alpha2", "jobsets"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "Service": ("/api/v1", "services"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
}
OF_A_RUN = ("JobSet", "Job", "Deployment", "PodDisruptionBudget", "NetworkPolicy", "Service", "ConfigMap")

TRIES = 5
PAUSE = 0.5  # seconds before the second try; each further pause is twice as long
RETRIED = {429, 500, 502, 503, 504}
SECONDS = (5, 30)  # to connect, to answer


class _Refused(Exception):
    """An answer that is no success.

    Attributes:
      status: that of HTTP.
      message: the server's words.
      wait: seconds that it asks to wait before the next try.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        body = response.read()
        try:
            self.message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            self.message = response.reason or "no reason given"
        self.status = response.status
        wait = response.headers.get("Retry-After", "")
        self.wait = float(wait) if wait.isdigit() else 0.0  # it may be a date, as proxies write it
        super().__init__(self.status, self.message)


class Cluster:
    """One namespace of a cluster.

    Args:
      api: how to reach it.
      namespace: in which everything happens.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.api, self.namespace = api, namespace

    def apply(self, found: Object) -> None:
        """Creates an object or changes it to be so, on the server's side; unknown fields are refused."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        self._request("PATCH", found["kind"], found["metadata"]["name"], query=query, body=found)

    def list(self, kind: str, run: str | None = None) -> tuple[list[Object], str]:
        """The objects of a kind, those of one run or all, and the version of that list.

        A cluster that does not know the kind has none.
        """
        answer = self._request("GET", kind, query=_of(run), may_be_missing=True)
        return (answer.get("items") or [], answer.get("metadata", {}).get("resourceVersion", ""))

    def delete(self, kind: str, name: str) -> None:
        """Begins to remove an object and what it made; one that is gone is fine."""
        body = {"propagationPolicy": "Foreground"}
        self._request("DELETE", kind, name, body=body, may_be_missing=True)

    def wait_for_change(self, run: str, version: str, seconds: float) -> None:
        """Returns when a Pod of the run has changed since that version of the list, or after so many seconds.

        A watch may end, or miss what happened long ago, at any time; so it only says when to look again.
        """
        query = {**_of(run), "watch": "1", "resourceVersion": version, "timeoutSeconds": str(max(1, int(seconds)))}
        begin = time.monotonic()
        try:
            response = self._send("GET", self._path("Pod"), query, read_seconds=seconds + 5)
            try:
                next(_lines(response), None)
            finally:
                response.close()
        except (_Refused, urllib3.exceptions.HTTPError):
            pass
        time.sleep(max(0.0, min(seconds, PAUSE) - (time.monotonic() - begin)))

    def log(self, pod: str, *, follow: bool, since: str | None = None) -> Iterator[tuple[str, str]]:
        """The lines of a Pod's log, each with its time, from that of `since` on; it ends as the stream does."""
        query = {"timestamps": "true", "follow": "true" if follow else "false"}
        if since:
            query["sinceTime"] = since
        path = f"{self._path('Pod')}/{pod}/log"
        try:
            response = self._send("GET", path, query, read_seconds=None if follow else SECONDS[1])
        except _Refused as error:
            raise self._refusal(error, "GET", "Pod", f"{pod}/log") from error
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        try:
            for line in _lines(response):
                moment, _, text = line.partition(" ")
                yield moment, text
        except urllib3.exceptions.HTTPError:
            return
        finally:
            response.close()

    def _path(self, kind: str, name: str = "") -> str:
        prefix, plural = PATHS[kind]
        return f"{prefix}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _request(
        self,
        method: str,
        kind: str,
        name: str = "",
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        may_be_missing: bool = False,
    ) -> dict[str, Any]:
        """Sends a request that may be repeated without harm, and does so where the server is at fault, or busy."""
        for attempt in range(TRIES):
            wait = PAUSE * 2**attempt
            try:
                return json.loads(self._send(method, self._path(kind, name), query or {}, body=body).read())
            except _Refused as error:
                # Who may not see the kinds of an operator that is not installed gets 403 for them, not 404.
                if may_be_missing and error.status in ((403, 404) if kind == "JobSet" else (404,)):
                    return {}
                if error.status not in RETRIED or attempt == TRIES - 1:
                    raise self._refusal(error, method, kind, name) from error
                wait = max(wait, error.wait)
            except urllib3.exceptions.HTTPError as error:
                if attempt == TRIES - 1:
                    raise self._unreachable(error) from error
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        *,
        body: Any = None,
        read_seconds: float | None = SECONDS[1],
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request with the client library's connections and credentials, whose own calls want typed models."""
        settings = self.api.configuration
        headers = {"Accept": "application/json"}
        headers |= {auth["key"]: auth["value"] for auth in settings.auth_settings().values() if auth["in"] == "header"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        response = self.api.rest_client.pool_manager.request(
            method,
            f"{settings.host}{path}?{urlencode(query)}",
            headers=headers,
            body=None if body is None else json.dumps(body),
            timeout=urllib3.Timeout(connect=SECONDS[0], read=read_seconds),
            retries=False,
            preload_content=False,
        )
        if response.status >= 300:
            raise _Refused(response)
        return response

    def _unreachable(self, error: Exception) -> UserError:
        host = self.api.configuration.host
        return UserError(f"the cluster at {host} cannot be reached ({error}): see kubectl cluster-info")

    def _refusal(self, error: _Refused, method: str, kind: str, name: str) -> UserError:
        message = error.message
        verb = {"PATCH": "apply (patch and create)", "GET": "get and list", "DELETE": "delete"}[method]
        what = f"{PATHS[kind][1]}{'/' + name if name else ''} in namespace {self.namespace}"
        if error.status == 401:
            return UserError(f"the cluster does not know you (401 {message}): log in again, or see kubectl config view")
        if error.status == 403 and "quota" in message:
            return UserError(f"the namespace's quota does not allow it: {message}; ask for less, or for more quota")
        if error.status == 403:
            return UserError(f"you may not {verb} {what}: ask for a Role that allows it ({message})")
        if error.status == 404 and method == "PATCH":
            return UserError(f"cannot {verb} {what}: {message}; is there such a namespace, and is {kind} installed?")
        if error.status == 404:
            return UserError(f"there is no {what}: {message}")
        advice = "delete the run first" if kind in OF_A_RUN else "all runs share it: write what it is into its file"
        if error.status == 409:
            return UserError(f"{what} is held by somebody else, or still being removed: {message}; {advice}")
        if error.status in (400, 422):
            return UserError(f"the cluster refuses {what}: {message}; where it cannot be changed, {advice}")
        return UserError(f"the cluster failed to {verb} {what}, {TRIES} times: {error.status} {message}")


def connect(namespace: str | None) -> Cluster:
    """The cluster that kubectl speaks to, or, in a Pod that has a token, its own.

    Raises:
      UserError: none is configured.
    """
    try:
        config.load_kube_config()
        default = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
    except (ConfigException, yaml.YAMLError) as error:
        try:
            config.load_incluster_config()
        except ConfigException:
            why = " ".join(str(error).split())
            raise UserError(
                f"no cluster is configured ({why}): make kubectl work first, e.g. by kind create cluster, or "
                "gcloud container clusters get-credentials NAME; see kubectl config current-context"
            ) from error
        default = "default"
    return Cluster(client.ApiClient(), namespace or default)


def _of(run: str | None) -> dict[str, str]:
    return {"labelSelector": f"{INSTANCE}={run}"} if run else {}


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[str]:
    """Lines as they arrive; the last one may be cut off, and is then not given."""
    rest = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
