"""Run steps on workers that update variables on parameter servers, each at its own speed (Dean et al. 2012).

The chief schedules step numbers, and a step's number determines its batch. So every batch is trained on, in the order
of a single process, whichever worker runs a step and however often workers are lost. Steps are scheduled in bounded
chunks, and the chief waits for each chunk to complete. So no update is staler than a chunk, and between chunks the
chief can verify the step count, save, and stop.
"""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.cluster import liveness
from trainer.cluster.environment import Task
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config.schema import Config
from trainer.data.pipeline import input_pipeline
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.data.pipeline.untuned import untuned
from trainer.exit_status import Failed, Interrupted
from trainer.training.runners.base import Runner, mean_figures
from trainer.training.runners.placement import Served
from trainer.training.train_state import TrainState

log = logging.getLogger(__name__)

STEPS_AHEAD = 8  # scheduled per worker at a time
UPDATING = "WorkerPreemptionHandler"  # TensorFlow's thread that reconnects a cluster after a worker was lost


class ParameterServers(Runner):
    """Schedules steps on workers: the chief's side.

    It connects on creation, which must precede any other TensorFlow operation, since it renames the devices on which
    variables are placed.

    Args:
      config: the config.
      task: the role of this process in the cluster.
      watchdog: limits the time to wait for the other tasks.
      limits: workers that do not answer within `wait` are left out, if at least `least_workers` do.
    Raises:
      Interrupted: a server, or too many workers, did not answer in time.
    """

    has_evaluator = True

    def __init__(self, config: Config, *, task: Task, watchdog: Watchdog, limits: Limits) -> None:
        self.config, self.task, self.watchdog, self.limits = config, task, watchdog, limits
        self.absent: list[liveness.Member] = []
        self.failures, self.recovered_step = 0, -1
        self.connect()

    def connect(self) -> None:
        """Connect to all tasks that answer.

        Raises:
          Interrupted: a server, or too many workers, did not answer in time.
        """
        begin = time.monotonic()
        jobs = self._present()
        self.servers, self.workers = len(jobs["ps"]), len(jobs["worker"])
        self.watchdog.silent = lambda: liveness.silent({job: jobs[job] for job in ("ps", "worker")})
        with self.watchdog.limit("connecting to servers and workers"), _interrupted():
            resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
                tf.train.ClusterSpec(jobs), task_type="chief", task_id=0, rpc_layer="grpc"
            )
            strategy = tf.distribute.ParameterServerStrategy(resolver)
            self.coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        seconds = time.monotonic() - begin
        log.info("connected to %d servers and %d workers in %.1f s", self.servers, self.workers, seconds)

    def begin(self, train_state: TrainState, images: LabelledImages, restore: Callable[[], str | None]) -> None:
        """Distribute the values of the train state over the servers, and load the images on the workers."""
        self.train_state, self.images, self.restore = train_state, images, restore
        self.step = int(train_state.step.numpy())
        with self.watchdog.limit("distributing the variables"), _interrupted():
            self.served = Served(train_state, self.servers)
            self.images_there = iter(self.coordinator.create_per_worker_dataset(self._resident))
        self._step_there = graph.compiled(self._train_on)

    def recover(self, reason: Interrupted) -> None:
        """Restore the newest checkpoint and distribute it over the servers, retrying as often as allowed.

        Raises:
          Failed: no retry is left.
        """
        begin, reached, restarts = time.monotonic(), self.step, self.limits.restarts
        while True:
            self.failures += 1
            if self.failures > restarts:
                raise Failed(f"gave up after {restarts} recoveries without progress") from reason
            log.warning("interrupted at step %d: %s", reached, reason)
            path = self.restore()
            try:
                self._reconnect()
            except Interrupted as again:
                reason = again
                continue
            break
        if self.step > self.recovered_step:
            self.failures, self.recovered_step = 0, self.step
        seconds, lost = time.monotonic() - begin, reached - self.step
        log.warning("recovered in %.1f s: %d steps lost, from step %d (%s)", seconds, lost, self.step, path)

    def _reconnect(self) -> None:
        """Connect to the tasks that answer now, and distribute the values of the local train state."""
        self._disconnect()
        self.connect()
        self.begin(self.train_state, self.images, self.restore)

    def _disconnect(self) -> None:
        """End the old cluster, and wait until TensorFlow no longer updates it: two updates at once crash a process."""
        if self.coordinator:
            with self.watchdog.limit("leaving the old cluster"):
                self.coordinator.__del__()  # nothing else stops it, and a traceback may refer to it for long
                for thread in threading.enumerate():
                    if thread.name == UPDATING:
                        thread.join()
        self.coordinator = self.served = self.images_there = self._step_there = None  # type: ignore[assignment]
        gc.collect()  # TensorFlow frees the old cluster when nothing refers to it

    def read_step(self) -> int:
        return self.step

    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        """Run steps as in `Runner`; if `stop` is set, complete the current chunk."""
        figures: list[dict[str, Any]] = []
        while len(figures) < count and not stop.is_set():
            chunk = min(count - len(figures), STEPS_AHEAD * self.workers)
            what = f"steps {self.step + 1} to {self.step + chunk}"
            with self.watchdog.limit(what), _interrupted():
                numbers = [tf.constant(self.step + i, tf.int64) for i in range(chunk)]
                results = [self.coordinator.schedule(self._step_there, (n, self.images_there)) for n in numbers]
                self.coordinator.join()
                figures += [result.fetch() for result in results]
                self._count(self.step + chunk)
            self.stepped(chunk)
        return mean_figures(figures)

    def collect(self) -> None:
        with self.watchdog.limit("fetching the variables"), _interrupted():
            self.served.collect()

    def after_checkpoint(self) -> None:
        """Readmit workers that were left out and answer again: interrupt training, so that the cluster is rebuilt."""
        if self.absent and (back := set(self.absent) - set(liveness.silent(self.task.jobs, seconds=1.0))):
            raise Interrupted(f"{liveness.names(back)} answers again")

    def _present(self) -> dict[str, list[str]]:
        """Return the addresses of all servers and of the workers that answer, by job."""
        jobs = {job: list(self.task.jobs[job]) for job in ("ps", "worker")}
        missing = liveness.wait_for(jobs, self.limits.wait)
        self.absent = [member for member in missing if member.job == "worker"]
        gone = {member.address for member in self.absent}
        here = [address for address in jobs["worker"] if address not in gone]
        if len(self.absent) < len(missing) or len(here) < self.limits.least_workers:
            raise Interrupted(
                f"no answer from {liveness.names(missing)} within {self.limits.wait:.0f} s: look at their logs; "
                f"at least {self.limits.least_workers} workers and all servers are needed"
            )
        if self.absent:
            names = liveness.names(missing)
            log.warning("continuing without %s, which did not answer within %.0f s", names, self.limits.wait)
        return {"chief": list(self.task.jobs["chief"]), "worker": here, "ps": jobs["ps"]}

    def _resident(self, _: Any = None) -> tf.data.Dataset:
        """Return a dataset that repeats all images in a worker's memory as one element, which copies nothing."""
        element = {
            "images": self.images.read_images(),
            "tokens": tf.constant(self.images.tokens),
            "corners": tf.constant(self.images.corners),
        }
        return untuned(tf.data.Dataset.from_tensors(element).repeat())

    def _train_on(self, number: tf.Tensor, there: Any) -> dict[str, tf.Tensor]:
        """Run a step on a worker, with the batch that belongs to its number."""
        images = replace(self.images, **next(there))
        return self.served.train_state.train_step(input_pipeline.training_batch(images, self.config, number))

    def _count(self, expected: int) -> None:
        """Verify the step count, and correct it if a worker was lost after its update, which was then counted twice."""
        found = int(self.served.train_state.step.numpy())
        if found < expected:
            raise RuntimeError(f"{expected - found} updates were lost: the count is {found}, not {expected}")
        if found > expected:
            log.warning("%d steps up to %d were applied twice, after a worker was lost", found - expected, expected)
            self.served.train_state.step.assign(expected)
        self.step = expected


@contextlib.contextmanager
def _interrupted() -> Iterator[None]:
    """Turn TensorFlow's errors, which take many forms when a machine is lost, into `Interrupted`."""
    try:
        yield
    except tf.errors.OpError as error:
        raise Interrupted(str(error).splitlines()[0]) from error
