"""Which of the runners trains, by the command line and the cluster that the environment describes."""

import logging

import tensorflow as tf

from trainer.cli import UserError
from trainer.cluster import liveness
from trainer.cluster.environment import Task
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config.schema import Config
from trainer.data.input_pipeline import LabelledImages
from trainer.training.runners.parameter_server import ParameterServers
from trainer.training.runners.single import Single
from trainer.training.runners.synchronous import Synchronous, check_batch
from trainer.training.train_state import TrainState

log = logging.getLogger(__name__)


def choose(wanted: str, task: Task) -> str:
    """One of `environment.STRATEGIES`; `auto` is what the cluster is made for, and on one host all its GPUs.

    Raises:
      UserError: what is wanted does not fit the cluster.
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


def connect(
    name: str, task: Task, config: Config, watchdog: Watchdog, limits: Limits
) -> ParameterServers | tf.distribute.Strategy | None:
    """Connects with the other tasks; must come before any other TensorFlow operation.

    Returns:
      The strategy of synchronous replicas, what runs steps on parameter servers, or None where there is nobody.

    Raises:
      UserError: the replicas cannot share the batch equally.
    """
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        check_batch(config, len(devices))
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "parameter-server":
        return ParameterServers(config, task=task, watchdog=watchdog, limits=limits)
    if name == "single":
        return None
    check_batch(config, sum(map(len, task.jobs.values())))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({job: list(addresses) for job, addresses in task.jobs.items()}),
        task_type=task.role,
        task_id=task.index,
        rpc_layer="grpc",
    )
    watchdog.silent = lambda: liveness.silent(task.jobs)
    with watchdog.limit("waiting for the other workers", limits.wait):
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)


def make_runner(
    connected: ParameterServers | tf.distribute.Strategy | None,
    task: Task,
    train_state: TrainState,
    pictures: LabelledImages,
    config: Config,
    *,
    watchdog: Watchdog,
) -> Single | Synchronous | ParameterServers:
    """What runs the steps; see `Runner`."""
    if connected is None:
        return Single(train_state, pictures, config)
    if isinstance(connected, ParameterServers):
        connected.begin(train_state, pictures)
        return connected
    workers = [*task.jobs.get("chief", ()), *task.jobs.get("worker", ())]
    worker = workers.index(task.address) if workers else 0
    return Synchronous(train_state, pictures, config, strategy=connected, worker=worker, watchdog=watchdog)
