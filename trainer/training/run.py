"""Run a training task: as the chief, a worker, a parameter server or the evaluator."""

import contextlib
import dataclasses
import logging
import time

import tensorflow as tf

from trainer import provenance
from trainer.cluster import server
from trainer.cluster.environment import Task
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config import schema
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.exit_status import Failed, Interrupted, leave
from trainer.files.lock import Lock
from trainer.training import loop, resume, sidecar_evaluator
from trainer.training.hooks import ChiefHooks
from trainer.training.inputs import Inputs
from trainer.training.runners import strategies
from trainer.training.runners.base import Runner
from trainer.training.speed import clock
from trainer.training.tensorboard import Board
from trainer.training.train_state import TrainState
from trainer.workdir import checkpoint, files

log = logging.getLogger(__name__)


def train_and_evaluate(
    config: schema.Config,
    inputs: Inputs,
    *,
    workdir: str,
    task: Task | None = None,
    strategy: str = "auto",
    limits: Limits | None = None,
) -> None:
    """Train until the configured step, resuming from the newest checkpoint in the work folder.

    Args:
      config: the config; it is stored in the work folder.
      inputs: the datasets and the initial weights.
      workdir: where checkpoints, metrics and summaries go.
      task: the role of this process: alone, the chief, or a synchronous worker.
      strategy: see `strategies.choose`.
      limits: timeouts and retry limits of a cluster.
    Raises:
      UserError: the data or the work folder is not usable, or validation images are, or were, trained on.
      Stopped: a signal asked to stop; a checkpoint was saved.
      FloatingPointError: the loss is no longer finite.
      Failed: no checkpoint can be read, or the disk or the memory is full.
    """
    checkpoint.check_name(workdir, "--workdir")
    task, limits = task or Task(), limits or Limits()
    finished = files.finished_step(workdir, config)
    if finished is not None and finished < config.train.steps and checkpoint.to_read(workdir):
        log.info(
            "%s: training stopped early at step %d, as validation had not improved for %d evaluations: raise "
            "train.steps or change train.patience to continue",
            *(workdir, finished, config.train.patience),
        )
        return
    if task.jobs and finished is not None:
        log.info("%s: training was done at step %d", task, finished)
        return
    name = strategies.choose(strategy, task)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(files.locked(workdir)) if task.is_chief else None
        try:
            _train(config, inputs, workdir, task, name, limits, lock)
        except tf.errors.ResourceExhaustedError as error:
            raise Failed(f"out of disk space or memory: {error.message.splitlines()[0]}") from error


def _train(
    config: schema.Config, inputs: Inputs, workdir: str, task: Task, name: str, limits: Limits, lock: Lock | None
) -> None:
    begin, watchdog = time.monotonic(), Watchdog(limits.hang)
    runner = strategies.connect(name, task, config, watchdog, limits)
    training, validating, source = inputs.load(config, workdir)
    train_state = TrainState(config)
    checkpoints = checkpoint.Checkpoints(
        workdir, train_state.checkpointed(), keep=config.train.keep_checkpoints, size=train_state.size
    )
    if lock:
        lock.check()
        described = {"data": inputs.data, "validation_data": inputs.validation}
        restored = resume.resume(config, workdir, train_state, checkpoints, training, source, inputs=described)
        files.record_start(workdir, {**provenance.gather(), "strategy": name, "step": int(train_state.step.numpy())})
        log.info("%s, %s: %s parameters, %s", config.experiment, name, train_state.count, restored)
        log.info("%d images to train on, %d to validate on", len(training), len(validating))
    if int(train_state.step.numpy()) < config.train.steps:
        runner.begin(train_state, training, checkpoints.restore)
        if lock:
            hooks = _chief_hooks(config, workdir, runner, train_state, checkpoints, training, validating, lock)
        else:
            hooks = _waiting_hooks(config)
        loop.run(runner, hooks, config.train.steps, asked_to_stop=watchdog.stop_soon)
    if lock:
        lock.check()
        files.finish(workdir, config, int(train_state.step.numpy()))
    elif not files.wait_for_finish(workdir, config, limits.wait):
        raise Interrupted(f"{task}: the chief has not finished the run after the last step: exiting to rejoin it")
    log.info("done at step %d after %s", int(train_state.step.numpy()), clock(time.monotonic() - begin))


def _waiting_hooks(config: schema.Config) -> list[loop.Hook]:
    """Return hooks that do nothing, due at the steps of the chief's hooks, so that all workers wait for it together."""
    every = config.train
    intervals = (every.log_every, every.checkpoint_every, config.tensorboard.every, every.evaluate_every)
    return [loop.Hook(interval, lambda *_: None, on_stop=True) for interval in intervals]


def _chief_hooks(
    config: schema.Config,
    workdir: str,
    runner: Runner,
    train_state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    training: LabelledImages,
    validating: LabelledImages,
    lock: Lock,
) -> list[loop.Hook]:
    """Return the chief's hooks, each of which only runs while the chief holds the lock."""
    every = config.train
    figure = train_state.objective.figure
    monitor = ChiefHooks(workdir, config, checkpoints, figure=figure, first_step=runner.read_step())
    predictor = train_state.objective.predictor(train_state.reading_params, train_state.state)
    board = Board(monitor, train_state, training, validating, predictor)
    lock.check()
    board.start()

    def save(step: int, figures: dict[str, float]) -> None:
        runner.collect()
        monitor.save(step, figures)
        runner.after_checkpoint()

    def show(step: int, figures: dict[str, float]) -> None:
        runner.collect()
        board.write(step, figures)

    def validate(step: int, _: dict[str, float]) -> None:
        monitor.validate(step, predictor, validating)

    hooks = [
        loop.Hook(every.log_every, monitor.log_training, recovered=monitor.speed.restart),
        loop.Hook(every.log_every, monitor.profile),
        loop.Hook(every.checkpoint_every, save, on_stop=True, seconds=every.checkpoint_seconds),
        loop.Hook(config.tensorboard.every, show),
        loop.Hook(every.evaluate_every, monitor.follow_evaluator if runner.has_evaluator else validate),
    ]
    return [dataclasses.replace(hook, act=lock.guard(hook.act)) for hook in hooks]


def run_task(config: schema.Config, task: Task, inputs: Inputs, *, workdir: str, strategy: str, limits: Limits) -> None:
    """Run the task of this process: see `train_and_evaluate`, `server.serve` and `sidecar_evaluator.follow`.

    Raises:
      UserError: the settings do not fit the inputs. For further errors see these functions.
    """
    inputs.check(config)
    if task.role == "ps" or (task.role == "worker" and "ps" in task.jobs):
        server.serve(task, lambda: files.finished_step(workdir, config) is not None, wait=limits.patience)
    elif task.role == "evaluator":
        validating = inputs.load(config, workdir)[1]
        leave(sidecar_evaluator.follow(workdir, config, validating, wait=limits.patience))
    else:
        train_and_evaluate(config, inputs, workdir=workdir, task=task, strategy=strategy, limits=limits)
