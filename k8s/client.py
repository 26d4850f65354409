"""Access a cluster's API for the kinds of objects used here; each refusal becomes one line that says what to do.

Objects are passed and returned as in YAML. The client library's typed models would drop misspelt fields; instead, the
server is asked to reject them.
"""

import json
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from logging.handlers import BufferingHandler
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.watch import Watch
from kubernetes.watch.watch import iter_resp_lines

from k8s import Object
from k8s.outage import Outage
from trainer.cli import UserError

MANAGER = "svhn-submit"
INSTANCE = "app.kubernetes.io/instance"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# Kind -> API version and plural. Discovery would query them at each start, and keep a cache file in /tmp.
APIS = {
    "JobSet": ("jobset.x-k8s.io/v1alpha2", "jobsets"),
    "Job": ("batch/v1", "jobs"),
    "Deployment": ("apps/v1", "deployments"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Service": ("v1", "services"),
    "ConfigMap": ("v1", "configmaps"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
}
# The kinds of a run's objects, in the order of their removal: first those that create Pods.
OF_A_RUN = tuple(APIS)[: list(APIS).index("ServiceAccount")]

TRIES = 6
PAUSE = 0.5  # seconds; the pauses between tries are 0, 2, 4, 8 and 16 times as long, or as in Retry-After
RETRIED = (429, 500, 502, 503, 504)
SECONDS = (5, 30)  # to connect, to answer
VERBS = {"server_side_apply": "apply (patch and create)", "get": "get and list", "delete": "delete"}  # as in a Role


class NotFound(UserError):
    """The cluster has no such object."""


class Forbidden(UserError):
    """The user is not allowed to do this."""


class Conflict(UserError):
    """Somebody else manages a field of the object."""


class NotStarted(UserError):
    """The container has no log yet."""


class Cluster:
    """One namespace of a cluster.

    Args:
      api: the API client.
      namespace: of all operations.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace, self.host = namespace, api.configuration.host
        dynamic = DynamicClient(api, discoverer=lambda *_: None)
        self._resources = {kind: _resource(dynamic, kind) for kind in APIS}

    def apply(self, manifest: Object) -> None:
        """Create or update an object by server-side apply; unknown fields are rejected.

        The object gets the annotation in which `kubectl apply` records what was applied, as kubectl warns without it.
        """
        try:
            self._apply(_annotated(manifest))
        except Conflict:  # kubectl has applied it before, and keeps its own annotation
            self._apply(manifest)

    def _apply(self, manifest: Object) -> None:
        kind, name, strict = manifest["kind"], manifest["metadata"]["name"], [("fieldValidation", "Strict")]
        self._call("server_side_apply", kind, name, body=manifest, field_manager=MANAGER, query_params=strict)

    def list(self, kind: str, run: str | None = None) -> tuple[list[Object], str]:
        """Return the objects of a kind, of one run or all runs, and the version of that list.

        If the cluster does not know the kind, the list is empty.
        """
        # For an unknown kind the answer is 404, but 403 if the user's Role leaves out what only some overlays need.
        with suppress(NotFound, *([Forbidden] if kind in ("JobSet", "HorizontalPodAutoscaler") else [])):
            answer = self._call("get", kind, label_selector=_of(run), serializer=lambda _, content: content)
            if not isinstance(answer, dict):
                raise UserError(f"{self.host} did not answer in JSON: is it a cluster? See kubectl config view")
            return answer.get("items") or [], answer.get("metadata", {}).get("resourceVersion", "")
        return [], ""

    def delete(self, kind: str, name: str) -> None:
        """Start to remove an object and everything that it created; succeed if it is already gone."""
        with suppress(NotFound):
            self._call("delete", kind, name, body={"propagationPolicy": "Foreground"})

    def wait_for_change(self, run: str, version: str, seconds: float) -> None:
        """Return when a Pod of the run has changed since that version of the list, or after `seconds`.

        A watch may end at any time, or miss old events, so it only determines when to request the state again.
        """
        begin = time.monotonic()
        # Not DynamicClient.watch, which would wait forever for a server that vanished without closing the connection.
        events = Watch().stream(
            self._resources["Pod"].get,
            namespace=self.namespace,
            label_selector=_of(run),
            resource_version=version,
            timeout_seconds=max(1, int(seconds)),
            serialize=False,
            _request_timeout=(SECONDS[0], seconds + 5),
        )
        with suppress(ApiException, urllib3.exceptions.HTTPError), closing(events):
            next(events, None)
        time.sleep(max(0.0, min(seconds, PAUSE) - (time.monotonic() - begin)))

    def log(self, pod: str, *, follow: bool, since: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield the lines of a Pod's log, each with its time, starting at `since`, until the stream ends.

        Raises:
          NotFound: the Pod is gone.
          NotStarted: its container has not started yet.
        """
        query = [("timestamps", "true"), ("follow", "true" if follow else "false")]
        if since:
            query.append(("sinceTime", since))
        seconds = (SECONDS[0], None if follow else SECONDS[1])
        response = self._call("get", "Pod", f"{pod}/log", seconds, query_params=query, serialize=False)
        with suppress(urllib3.exceptions.HTTPError), closing(response):
            for line in iter_resp_lines(response):  # an incomplete last line is dropped
                moment, _, text = line.partition(" ")
                yield moment, text

    def _call(
        self, method: str, kind: str, name: str = "", seconds: tuple[float, float | None] = SECONDS, **options: Any
    ) -> Any:
        """Call a method of the client library, which retries if the server fails or is busy.

        Raises:
          UserError: the server rejects the request.
          Outage: the server cannot be reached, or fails.
        """
        call = getattr(self._resources[kind], method)
        try:
            return call(name=name, namespace=self.namespace, _request_timeout=seconds, **options)
        except ApiException as error:
            raise self._refusal(error, method, kind, name) from error
        except urllib3.exceptions.MaxRetryError as error:
            raise self._no_answer(error.reason) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._no_answer(error) from error

    def _no_answer(self, reason: BaseException | None) -> UserError | Outage:
        match reason:
            case urllib3.exceptions.SSLError(args=(ssl.SSLCertVerificationError(), *_)):
                return UserError(f"the certificate of {self.host} was not accepted ({reason}): see kubectl config view")
        return Outage(f"the cluster at {self.host} cannot be reached ({reason}): see kubectl cluster-info")

    def _refusal(self, error: ApiException, method: str, kind: str, name: str) -> UserError | Outage:
        message, verb = _message(error), VERBS[method]
        what = f"{APIS[kind][1]}{'/' + name if name else ''} in namespace {self.namespace}"
        advice = "delete the run first" if kind in OF_A_RUN else "all runs share it: make its file match the cluster"
        match error.status:
            case 401:
                return UserError(f"authentication failed (401 {message}): log in again, or see kubectl config view")
            case 403 if "quota" in message:  # nothing else in the answer identifies it
                return UserError(
                    f"the namespace's quota does not allow it: {message}; request less, or ask for more quota"
                )
            case 403:
                return Forbidden(f"you may not {verb} {what}: ask for a Role that allows it ({message})")
            case 404 if method == "server_side_apply":
                return UserError(f"cannot {verb} {what}: {message}; does the namespace exist, and is {kind} installed?")
            case 404:
                return NotFound(f"not found: {what}: {message}")
            case 409:
                return Conflict(f"{what} is managed by somebody else, or still being removed: {message}; {advice}")
            case 400 if method == "get":
                return NotStarted(f"not started: {what}: {message}")
            case 400 | 422:
                return UserError(f"the cluster rejected {what}: {message}; if it cannot be changed, {advice}")
        return Outage(f"the cluster failed to {verb} {what}, {TRIES} times: {error.status} {message}")


def connect(namespace: str | None) -> Cluster:
    """Return the cluster that kubectl uses, else, in a Pod that has a token, the Pod's own cluster.

    Raises:
      UserError: no cluster is configured, or kubectl's credential plugin fails.
    """
    try:
        with _errors_logged() as errors:
            config.load_kube_config()
        if errors:  # the client library would continue without credentials
            why = " ".join(errors[-1].getMessage().split())
            raise UserError(f"kubectl's credential plugin failed ({why}): install it or log in; see kubectl get pods")
        default = config.list_kube_config_contexts()[1]["context"].get("namespace", "default")
    except (ConfigException, yaml.YAMLError) as error:
        try:
            config.load_incluster_config()
        except ConfigException:
            why = " ".join(str(error).split())
            raise UserError(
                f"no cluster is configured ({why}): configure kubectl first, e.g. by kind create cluster, or "
                "gcloud container clusters get-credentials NAME; see kubectl config current-context"
            ) from error
        default = "default"
    settings = client.Configuration.get_default_copy()
    # All requests made here are idempotent, so they may be retried.
    settings.retries = urllib3.Retry(
        TRIES - 1, backoff_factor=PAUSE, status_forcelist=RETRIED, allowed_methods=None, raise_on_status=False
    )
    return Cluster(client.ApiClient(settings), namespace or default)


@contextmanager
def _errors_logged() -> Iterator[list[logging.LogRecord]]:
    """Yield a list that receives the errors logged by the root logger: nothing else reports a failed plugin."""
    handler = BufferingHandler(capacity=1_000)
    handler.setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield handler.buffer
    finally:
        logging.getLogger().removeHandler(handler)


def _annotated(manifest: Object) -> Object:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    annotations = {**manifest["metadata"].get("annotations", {}), LAST_APPLIED: f"{text}\n"}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def _resource(dynamic: DynamicClient, kind: str) -> Resource:
    version, plural = APIS[kind]
    group, _, number = version.rpartition("/")
    named = {"prefix": "apis" if group else "api", "group": group, "api_version": number, "kind": kind, "name": plural}
    return Resource(**named, namespaced=True, client=dynamic)


def _of(run: str | None) -> str | None:
    return f"{INSTANCE}={run}" if run else None


def _message(error: ApiException) -> str:
    """Return the server's message, or the HTTP reason if the answer is not JSON, e.g. from a proxy."""
    try:
        return str(json.loads(error.body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return " ".join(str(error.reason or "no reason given").split())
