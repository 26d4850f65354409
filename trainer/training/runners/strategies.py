"""Choose the runner by the command line and the cluster that the environment describes."""

import logging

import tensorflow as tf

from trainer.cli import UserError
from trainer.cluster import connecting, liveness
from trainer.cluster.environment import Task
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config.schema import Config
from trainer.training.runners.base import Runner
from trainer.training.runners.parameter_server import ParameterServers
from trainer.training.runners.single import Single
from trainer.training.runners.synchronous import Synchronous, check_batch

log = logging.getLogger(__name__)


def choose(wanted: str, task: Task) -> str:
    """Return one of `environment.STRATEGIES`; `auto` follows the cluster, or uses all GPUs of a single host.

    Raises:
      UserError: the requested strategy does not fit the cluster.
    """
    if wanted == "auto":
        several = task.strategy == "single" and len(tf.config.list_physical_devices("GPU")) > 1
        return "mirrored" if several else task.strategy
    fitting = ("single", "mirrored") if task.strategy == "single" else (task.strategy,)
    if wanted not in fitting:
        jobs = ", ".join(f"{len(addresses)} {job}" for job, addresses in task.jobs.items()) or "this process alone"
        raise UserError(
            f"--strategy {wanted} does not fit the cluster ({jobs}): use {' or '.join(fitting)}, or change TF_CONFIG "
            "or the CLUSTER_ variables; python -m trainer.cluster starts a cluster on this machine"
        )
    return wanted


def connect(name: str, task: Task, config: Config, watchdog: Watchdog, limits: Limits) -> Runner:
    """Connect to the other tasks, before any other TensorFlow operation, and return the runner.

    Raises:
      UserError: the batch cannot be divided equally among the replicas.
      Interrupted: too few tasks answer.
    """
    if name == "single":
        return Single(config)
    if name == "parameter-server":
        return ParameterServers(config, task=task, watchdog=watchdog, limits=limits)
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        check_batch(config, len(devices))
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Synchronous(config, strategy=strategy, worker=0, watchdog=watchdog)
    strategy = _connect_workers(task, config, watchdog, limits)
    workers = [*task.jobs.get("chief", ()), *task.jobs["worker"]]
    return Synchronous(config, strategy=strategy, worker=workers.index(task.address), watchdog=watchdog)


def _connect_workers(task: Task, config: Config, watchdog: Watchdog, limits: Limits) -> tf.distribute.Strategy:
    check_batch(config, sum(map(len, task.jobs.values())))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({job: list(addresses) for job, addresses in task.jobs.items()}),
        task_type=task.role,
        task_id=task.index,
        rpc_layer="grpc",
    )
    watchdog.silent = lambda: liveness.silent(task.jobs)
    with watchdog.limit("waiting for the other workers", limits.wait), connecting.threads_may_run():
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
