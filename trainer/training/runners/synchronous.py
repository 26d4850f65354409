"""Run steps on several replicas at once, each with its slice of every batch.

The variables are ordinary ones, with a copy on each device; all copies get the same updates from the summed gradients,
and the strategy is only used for the all-reduce. So checkpoints are the same as those of a single process.
"""

import contextlib
import logging
import threading
from collections.abc import Callable

import tensorflow as tf

from trainer import graph
from trainer.cli import UserError
from trainer.cluster.watchdog import Watchdog
from trainer.config.schema import Config
from trainer.data.pipeline import input_pipeline
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.training.runners.base import Runner, mean_figures
from trainer.training.train_state import Replicas, TrainState

log = logging.getLogger(__name__)


class Synchronous(Runner):
    """Runs steps on replicas, each with a slice of the batch. Each worker has one runner; all make the same calls.

    Args:
      config: the config.
      strategy: a `MirroredStrategy` or `MultiWorkerMirroredStrategy`.
      worker: the index of this process among those of the strategy.
      watchdog: limits the time to wait for the other workers.
    """

    def __init__(self, config: Config, *, strategy: tf.distribute.Strategy, worker: int, watchdog: Watchdog) -> None:
        self.config, self.strategy, self.watchdog = config, strategy, watchdog
        self.devices = strategy.extended.worker_devices
        self.count, self.first = strategy.num_replicas_in_sync, worker * len(self.devices)

    def begin(self, train_state: TrainState, images: LabelledImages, restore: Callable[[], str | None]) -> None:
        self.train_state = train_state
        with self.watchdog.limit("agreeing with the other workers on the initial values"):
            self._begin_alike()
        self.replicas = [train_state, *(_copied(train_state, device) for device in self.devices[1:])]
        first_step = self.read_step()
        self.batches = [
            iter(
                input_pipeline.training_batches(
                    images, self.config, first_step=first_step, index=self.first + i, slices=self.count
                )
            )
            for i in range(len(self.devices))
        ]
        self._step_together = graph.compiled(self._step)
        self._agree_together = graph.compiled(self._agree)

    def read_step(self) -> int:
        return int(self.train_state.step.numpy())

    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        """Run steps as in `Runner`; any worker's `stop` stops all of them after the same step."""
        figures: list[dict[str, tf.Tensor]] = []
        stopped = False
        while len(figures) < count and not stopped:
            with self.watchdog.limit(f"the step after {self.read_step()}"):
                local = [next(batches) for batches in self.batches]
                batch = self.strategy.experimental_distribute_values_from_function(
                    lambda context: local[context.replica_id_in_sync_group - self.first]  # noqa: B023
                )
                values, stopping = self._step_together(batch, tf.constant(float(stop.is_set())))
                stopped = bool(stopping.numpy())
            figures.append(values)
            self.stepped(1)
        if stopped:
            stop.set()
        return mean_figures(figures)

    def agree_to_stop(self, enough: bool) -> bool:
        """Agree as in `Runner`. The other workers wait here while the chief saves and validates."""
        with self.watchdog.limit("waiting for the chief to save and validate"):
            return bool(self._agree_together(tf.constant(float(enough))).numpy())

    def close(self) -> None:
        """Meet the other workers at a final barrier, so that none exits while another still needs a sum from it.

        Failures are ignored, since other workers may exit as soon as all have arrived.
        """
        with self.watchdog.limit("waiting at the final barrier"), contextlib.suppress(tf.errors.OpError):
            self._agree_together(tf.constant(0.0)).numpy()

    def _begin_alike(self) -> None:
        """Give every worker the chief's values, so that the others need no access to its checkpoints."""
        variables = [variable for group in self.train_state.groups().values() for variable in group.values()]

        def values() -> list[tf.Tensor]:
            first = _replica_index() == 0
            mine = [tf.convert_to_tensor(v) if first else tf.zeros_like(v) for v in variables]
            # The step comes last: as the only integer, it cannot be packed with the others.
            return [*_sum_over_replicas(mine[:-1]), *_sum_over_replicas(mine[-1:])]

        summed = graph.compiled(lambda: self.strategy.run(values))()
        for variable, value in zip(variables, summed, strict=True):
            variable.assign(self.strategy.experimental_local_results(value)[0])

    def _step(self, batch: dict[str, tf.Tensor], stopping: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        def on_replica(batch: dict[str, tf.Tensor], stopping: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            index = _replica_index()
            replicas = Replicas(index, self.count, _sum_over_replicas)
            figures = self.replicas[index - self.first].train_step(batch, replicas)
            return figures, _sum_over_replicas([stopping])[0]

        out = self.strategy.run(on_replica, args=(batch, stopping))
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], out)

    def _agree(self, flag: tf.Tensor) -> tf.Tensor:
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(tf.identity, args=(flag,)), axis=None)


def _replica_index() -> int:
    return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))


def _sum_over_replicas(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    # The strategy needs each tensor's device, which is unknown in a graph for a tensor read from a variable.
    placed = [tf.identity(tensor) for tensor in tensors]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


def check_batch(config: Config, replicas: int) -> None:
    """Log how many images of the batch each replica gets.

    Raises:
      UserError: the batch cannot be divided equally.
    """
    size = config.data.batch_size
    if size % replicas:
        near = [str(s) for s in (size // replicas * replicas, -(-size // replicas) * replicas) if s]
        raise UserError(
            f"data.batch_size={size} is the size of the whole batch and must be a multiple of the {replicas} replicas: "
            f"use --set data.batch_size={' or '.join(near)}"
        )
    log.info("%d replicas, each with %d images of a batch of %d", replicas, size // replicas, size)


def _copied(train_state: TrainState, device: str) -> TrainState:
    """Return a train state with the same values on another device."""

    def place(group: dict[str, tf.Variable]) -> dict[str, tf.Variable]:
        with tf.device(device):
            return {path: tf.Variable(v.numpy(), trainable=False, name=path) for path, v in group.items()}

    return train_state.placed(place)
