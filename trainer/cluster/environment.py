"""The only reader of environment variables: this process's role in a cluster, and TensorFlow's settings."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from trainer import logs, progress, quiet
from trainer.cli import UserError
from trainer.exit_status import FAILED_STATUS, USER_ERROR_STATUS

STRATEGIES = ("single", "mirrored", "multi-worker", "parameter-server")
JOBS = ("chief", "worker", "ps", "evaluator")
DEFAULT_PORT = 2222
LOG_LEVEL, QUIET, EVERYTHING = "TF_CPP_MIN_LOG_LEVEL", "2", "0"  # "2": errors only; "1": warnings, too
COMPLETING = "_ARGCOMPLETE"  # set by argcomplete to the number of words before the first argument


@dataclass(frozen=True)
class Task:
    """The task of this process.

    Attributes:
      role: `alone`, `chief`, `worker`, `ps` or `evaluator`.
      index: its index among the tasks of that role.
      jobs: the addresses, `host:port`, of the tasks of each job; empty without a cluster. The evaluator is not in
        any job.
    """

    role: str = "alone"
    index: int = 0
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def strategy(self) -> str:
        """The strategy that the cluster's jobs are for, one of `STRATEGIES`."""
        if self.jobs.get("ps"):
            return "parameter-server"
        return "multi-worker" if self.jobs else "single"

    @property
    def is_chief(self) -> bool:
        """Whether this process writes to the work folder; without a job `chief`, worker 0 does."""
        first = "chief" if "chief" in self.jobs else "worker"
        return self.role == "alone" or (self.role == first and self.index == 0)

    @property
    def address(self) -> str:
        return self.jobs[self.role][self.index]

    def __str__(self) -> str:
        return self.role if self.role in ("alone", "chief", "evaluator") else f"{self.role} {self.index}"

    def tf_config(self) -> dict[str, Any]:
        """Return the task in TensorFlow's own form, `TF_CONFIG`."""
        cluster = {job: list(addresses) for job, addresses in self.jobs.items()}
        return {"cluster": cluster, "task": {"type": self.role, "index": self.index}}


def configure(*, use_tensorflow: bool = True) -> Task:
    """Set up logging, and import TensorFlow without its start-up messages; call it before any other import of it.

    Args:
      use_tensorflow: import it; a process that does not need it starts seconds sooner.
    Raises:
      UserError: the environment's description of the cluster is invalid.
    """
    quiet_tensorflow()
    # A dead server must cause an error at once: see tf.distribute.experimental.ParameterServerStrategy.
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")
    logs.start()
    if not logs.chosen().verbose:
        for name in ("absl", "tensorflow", "tf2onnx"):
            logging.getLogger(name).setLevel(logging.ERROR)  # their warnings are about their own API
    task = read_task(os.environ)
    if task.jobs:
        logs.start(task=str(task))
    if use_tensorflow:
        with _left_out("matplotlib"):  # Keras imports it for galleries of images, which no command shows
            import_tensorflow()
    return task


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up messages; call it before any other import of it."""
    quiet_tensorflow()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with progress.note("loading TensorFlow"), native_stderr():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def _left_out(package: str) -> Iterator[None]:
    """Make imports of a package fail within the block, unless it was imported before."""
    modules = cast(dict[str, object], sys.modules)
    if package in modules:
        yield
        return
    modules[package] = None  # by which Python knows that it cannot be imported
    try:
        yield
    finally:
        del modules[package]


@contextlib.contextmanager
def unoptimised_graphs() -> Iterator[None]:
    """Let TensorFlow run graphs as they are: optimising one takes seconds, and saves only a tenth of each run."""
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(before | {"disable_meta_optimizer": False})


def quiet_tensorflow() -> None:
    """Silence messages below errors from TensorFlow's C++ code; call it before TensorFlow is imported."""
    os.environ.setdefault(LOG_LEVEL, EVERYTHING if logs.chosen().verbose else QUIET)


def native_stderr() -> contextlib.AbstractContextManager[None]:
    """Return `quiet.native_stderr`, unless the user's TF_CPP_MIN_LOG_LEVEL asks for more than errors."""
    shown = os.environ.get(LOG_LEVEL, QUIET) in ("0", "1")
    return contextlib.nullcontext() if shown else quiet.native_stderr()


def outage_status() -> int:
    """Return the exit status for a store that does not answer; a Pod should retry, as its network may come up late."""
    return FAILED_STATUS if "KUBERNETES_SERVICE_HOST" in os.environ else USER_ERROR_STATUS


def completed_line() -> str | None:
    """Return the command line up to the cursor if this process was started to complete it."""
    if COMPLETING not in os.environ:
        return None
    line = os.environ.get("COMP_LINE", "")
    return line[: int(os.environ.get("COMP_POINT", len(line)))]


def complete_after_command() -> None:
    """Make shell completion begin after `svhn COMMAND`, not after `svhn`."""
    os.environ[COMPLETING] = "2"


def child_environment(task: Task) -> dict[str, str]:
    """Return this process's environment with TF_CONFIG for a task that it is about to start."""
    return {**os.environ, "TF_CONFIG": json.dumps(task.tf_config()), "PYTHONUNBUFFERED": "1"}


def read_task(environment: Mapping[str, str]) -> Task:
    """Return this process's task from TF_CONFIG, else from the variables that k8s/ sets for a Pod, else `alone`.

    A Pod of the Indexed Job `{CLUSTER_NAME}-{role}` has the host name `{CLUSTER_NAME}-{role}-{index}` in the
    headless Service CLUSTER_SERVICE; its index is in JOB_COMPLETION_INDEX. CLUSTER_WORKERS and CLUSTER_SERVERS count
    tasks; without servers the workers are synchronous and worker 0 is the chief. In a JobSet the names of the Jobs,
    and so the host names, begin with `{CLUSTER_NAME}-{role}-{CLUSTER_JOB_INDEX}`.

    Raises:
      UserError: a variable is missing or malformed; the message says which, what was expected, and where it is set.
    """
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if environment.get("CLUSTER_ROLE"):
        return _from_pod(environment)
    return Task()


def _from_tf_config(text: str) -> Task:
    advice = "unset it to train on one machine; it is set in the Pod's manifest, or by python -m trainer.cluster"
    try:
        raw = json.loads(text)
        jobs = {str(job): tuple(str(a) for a in addresses) for job, addresses in raw.get("cluster", {}).items()}
        task = raw.get("task", {})
        role, index = str(task.get("type", "")), int(task.get("index", 0))
    except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"TF_CONFIG is not valid ({error}): {advice}") from error
    evaluators = jobs.pop("evaluator", ())
    if unknown := sorted({*jobs, *([role] if role else [])} - set(JOBS)):
        raise UserError(f"TF_CONFIG has the unknown jobs {', '.join(unknown)}, expected {', '.join(JOBS)}: {advice}")
    if role == "evaluator":
        return Task("evaluator", index, jobs)
    if not jobs or (sum(map(len, jobs.values())) == 1 and not evaluators and "ps" not in jobs):
        return Task()
    if not 0 <= index < len(jobs.get(role, ())):
        raise UserError(f"TF_CONFIG: its task {role or '(type missing)'} {index} is not in its cluster: {advice}")
    return _checked(Task(role, index, jobs), "TF_CONFIG")


def _from_pod(environment: Mapping[str, str]) -> Task:
    role = environment["CLUSTER_ROLE"]
    if role not in JOBS:
        raise UserError(_wrong("CLUSTER_ROLE", role, f"one of {', '.join(JOBS)}"))
    name = _text(environment, "CLUSTER_NAME", "the prefix of the Jobs' names, e.g. run7")
    service = _text(environment, "CLUSTER_SERVICE", "the name of the headless Service, e.g. run7")
    workers = _number(environment, "CLUSTER_WORKERS", None, "the number of worker tasks, at least 1", least=1)
    servers = _number(environment, "CLUSTER_SERVERS", 0, "the number of parameter servers, 0 for synchronous workers")
    port = _number(environment, "CLUSTER_PORT", DEFAULT_PORT, "a port, 1 to 65535", least=1)
    index = _number(environment, "JOB_COMPLETION_INDEX", 0, "this Pod's index, which an Indexed Job sets")
    counts = {"chief": 1, "worker": workers, "ps": servers} if servers else {"worker": workers}
    in_set = f"-{environment['CLUSTER_JOB_INDEX']}" if environment.get("CLUSTER_JOB_INDEX") else ""
    jobs = {
        job: tuple(f"{name}-{job}{in_set}-{i}.{service}:{port}" for i in range(count))
        for job, count in counts.items()
        if count
    }
    if role == "evaluator":
        return Task(role, index, jobs)
    if role not in counts:
        raise UserError(_wrong("CLUSTER_ROLE", role, "worker, since without CLUSTER_SERVERS worker 0 is the chief"))
    if index >= counts[role]:
        expected = f"an index below {counts[role]}, the number of {role} tasks"
        raise UserError(_wrong("JOB_COMPLETION_INDEX", str(index), expected))
    return (
        Task() if jobs.keys() == {"worker"} and workers == 1 else _checked(Task(role, index, jobs), "CLUSTER_SERVERS")
    )


def _checked(task: Task, variable: str) -> Task:
    if "ps" in task.jobs and not (task.jobs.get("worker") and len(task.jobs.get("chief", ())) == 1):
        raise UserError(f"{variable} asks for parameter servers, which need exactly one chief and at least one worker")
    return task


def _text(environment: Mapping[str, str], variable: str, form: str) -> str:
    value = environment.get(variable, "")
    if not value or any(c in value for c in " /:"):
        raise UserError(_wrong(variable, value, form))
    return value


def _number(environment: Mapping[str, str], variable: str, default: int | None, form: str, *, least: int = 0) -> int:
    text = environment.get(variable, "")
    if not text and default is not None:
        return default
    if not text.isdecimal() or not least <= int(text) <= 65535:
        raise UserError(_wrong(variable, text, form))
    return int(text)


def _wrong(variable: str, value: str, form: str) -> str:
    problem = f"{variable}={value}" if value else f"{variable} is missing"
    return f"{problem}: expected {form}; set it in the Pod's manifest or its ConfigMap (env, envFrom)"
