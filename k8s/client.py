"""Access to a cluster's API: our few kinds of objects, and refusals in one line that says what to do.

Objects go in and come out as they are in YAML. The typed models of the client library would drop misspelt fields;
the server is asked to refuse them instead.
"""

import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
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
from trainer.cli import UserError

MANAGER = "svhn-submit"
INSTANCE = "app.kubernetes.io/instance"

# Kind -> API version and plural. Discovery would ask for them at each start, and keep a file in /tmp.
APIS = {
    "JobSet": ("jobset.x-k8s.io/v1alpha2", "jobsets"),
    "Job": ("batch/v1", "jobs"),
    "Deployment": ("apps/v1", "deployments"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Service": ("v1", "services"),
    "ConfigMap": ("v1", "configmaps"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Pod": ("v1", "pods"),
    "Event": ("v1", "events"),
}
# In this order a run is removed: first what makes Pods.
OF_A_RUN = ("JobSet", "Job", "Deployment", "PodDisruptionBudget", "NetworkPolicy", "Service", "ConfigMap")

TRIES = 5
PAUSE = 0.5  # seconds; the pauses between tries are 0, 2, 4 and 8 times as long, or what Retry-After says
RETRIED = (429, 500, 502, 503, 504)
SECONDS = (5, 30)  # to connect, to answer
VERBS = {"server_side_apply": "apply (patch and create)", "get": "get and list", "delete": "delete"}  # as in a Role


class NotFound(UserError):
    """The cluster has no such object."""


class Forbidden(UserError):
    """The user may not do this."""


class NotStarted(UserError):
    """The container has no log yet."""


class Cluster:
    """One namespace of a cluster.

    Args:
      api: how to reach it.
      namespace: in which everything happens.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace, self.host = namespace, api.configuration.host
        dynamic = DynamicClient(api, discoverer=lambda *_: None)
        self._resources = {kind: _resource(dynamic, kind) for kind in APIS}

    def apply(self, found: Object) -> None:
        """Create an object, or change it to be so, by server-side apply; unknown fields are refused."""
        kind, name, strict = found["kind"], found["metadata"]["name"], [("fieldValidation", "Strict")]
        self._call("server_side_apply", kind, name, body=found, field_manager=MANAGER, query_params=strict)

    def list(self, kind: str, run: str | None = None) -> tuple[list[Object], str]:
        """Return the objects of a kind, of one run or all, and the version of that list.

        A cluster that does not know the kind has none.
        """
        # Without the right to see the kinds of an operator that is not installed, the answer is 403, not 404.
        with suppress(NotFound, *([Forbidden] if kind == "JobSet" else [])):
            answer = self._call("get", kind, label_selector=_of(run), serializer=lambda _, content: content)
            if not isinstance(answer, dict):
                raise UserError(f"{self.host} answers otherwise than in JSON: is it a cluster? See kubectl config view")
            return answer.get("items") or [], answer.get("metadata", {}).get("resourceVersion", "")
        return [], ""

    def delete(self, kind: str, name: str) -> None:
        """Begin to remove an object and what it created; succeed where it is gone already."""
        with suppress(NotFound):
            self._call("delete", kind, name, body={"propagationPolicy": "Foreground"})

    def wait_for_change(self, run: str, version: str, seconds: float) -> None:
        """Return when a Pod of the run has changed since that version of the list, or after so many seconds.

        A watch may end, or miss what happened long ago, at any time; so it only says when to look again.
        """
        begin = time.monotonic()
        # Not DynamicClient.watch, which would wait forever for a server that is gone without a word.
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
        """Yield the lines of a Pod's log, each with its time, from that of `since` on, until the stream ends.

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
            for line in iter_resp_lines(response):  # a last line that is cut off is not given
                moment, _, text = line.partition(" ")
                yield moment, text

    def _call(
        self, method: str, kind: str, name: str = "", seconds: tuple[float, float | None] = SECONDS, **options: Any
    ) -> Any:
        """Call a method of the client library; where the server is at fault, or busy, that tries again.

        Raises:
          UserError: the server refuses.
        """
        call = getattr(self._resources[kind], method)
        try:
            return call(name=name, namespace=self.namespace, _request_timeout=seconds, **options)
        except ApiException as error:
            raise self._refusal(error, method, kind, name) from error
        except urllib3.exceptions.MaxRetryError as error:
            raise self._unreachable(error.reason) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, reason: object) -> UserError:
        return UserError(f"the cluster at {self.host} cannot be reached ({reason}): see kubectl cluster-info")

    def _refusal(self, error: ApiException, method: str, kind: str, name: str) -> UserError:
        message, verb = _message(error), VERBS[method]
        what = f"{APIS[kind][1]}{'/' + name if name else ''} in namespace {self.namespace}"
        advice = "delete the run first" if kind in OF_A_RUN else "all runs share it: write what it is into its file"
        match error.status:
            case 0:  # no answer: the certificate is not accepted
                return self._unreachable(message)
            case 401:
                return UserError(f"authentication failed (401 {message}): log in again, or see kubectl config view")
            case 403 if "quota" in message:  # the server gives no other sign of it
                return UserError(f"the namespace's quota does not allow it: {message}; ask for less, or for more quota")
            case 403:
                return Forbidden(f"you may not {verb} {what}: ask for a Role that allows it ({message})")
            case 404 if method == "server_side_apply":
                return UserError(
                    f"cannot {verb} {what}: {message}; is there such a namespace, and is {kind} installed?"
                )
            case 404:
                return NotFound(f"not found: {what}: {message}")
            case 409:
                return UserError(f"{what} is held by somebody else, or still being removed: {message}; {advice}")
            case 400 if method == "get":
                return NotStarted(f"not started: {what}: {message}")
            case 400 | 422:
                return UserError(f"the cluster refuses {what}: {message}; where it cannot be changed, {advice}")
        return UserError(f"the cluster failed to {verb} {what}, {TRIES} times: {error.status} {message}")


def connect(namespace: str | None) -> Cluster:
    """Return the cluster that kubectl speaks to, or, in a Pod that has a token, its own.

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
    settings = client.Configuration.get_default_copy()
    # All our requests may be repeated without harm.
    settings.retries = urllib3.Retry(
        TRIES - 1, backoff_factor=PAUSE, status_forcelist=RETRIED, allowed_methods=None, raise_on_status=False
    )
    return Cluster(client.ApiClient(settings), namespace or default)


def _resource(dynamic: DynamicClient, kind: str) -> Resource:
    version, plural = APIS[kind]
    group, _, number = version.rpartition("/")
    named = {"prefix": "apis" if group else "api", "group": group, "api_version": number, "kind": kind, "name": plural}
    return Resource(**named, namespaced=True, client=dynamic)


def _of(run: str | None) -> str | None:
    return f"{INSTANCE}={run}" if run else None


def _message(error: ApiException) -> str:
    """Return the server's words; a proxy between may answer otherwise than in JSON."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(str(error.reason or "no reason given").split())
