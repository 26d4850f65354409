"""Run a training task: as the chief, a worker, a parameter server or the evaluator."""

import contextlib
import dataclasses
import logging
import time

import tensorflow as tf

from trainer.cluster import server
from trainer.cluster.environment import Task
from trainer.cluster.limits import Limits
from trainer.cluster.watchdog import Watchdog
from trainer.config import schema
from trainer.exit_status import Failed, leave
from trainer.inference.predictor import Predictor
from trainer.training import loop, resume, sidecar_evaluator
from trainer.training.hooks import ChiefHooks
from trainer.training.inputs import Inputs
from trainer.training.runners import strategies
from trainer.training.runners.base import Interrupted
from trainer.training.runners.parameter_server import ParameterServers
from trainer.training.runners.recovery import Recovery
from trainer.training.runners.synchronous import Synchronous
from trainer.training.tensorboard import Board
from trainer.training.train_state import TrainState
from trainer.workdir import checkpoint, files

log = logging.getLogger(__name__)


def train_and_evaluate(
    wanted: schema.Config,
    inputs: Inputs,
    *,
    workdir: str,
    task: Task | None = None,
    strategy: str = "auto",
    limits: Limits | None = None,
) -> None:
    """Trains until the configured step, going on from the newest checkpoint in the work folder.

    Args:
      wanted: the configuration; it is stored in the work folder.
      inputs: the datasets, and the weights to begin with.
      workdir: where checkpoints, metrics and summaries go.
      task: what this process is: alone, the chief, or a synchronous worker.
      strategy: see `strategies.choose`.
      limits: of a cluster.
    Raises:
      UserError: the data or the work folder is not usable, or the validation data are trained on, too.
      Stopped: a signal asked to stop; a checkpoint was saved.
      FloatingPointError: the loss is no longer finite.
      Failed: no checkpoint can be read, or the disk or the memory is full.
    """
    checkpoint.check_name(workdir, "--workdir")
    task, limits = task or Task(), limits or Limits()
    finished = files.finished_step(workdir, wanted)
    if finished is not None and finished < wanted.train.steps and checkpoint.to_read(workdir):
        log.info(
            "%s: training stopped early at step %d, as there was no better validation for %d evaluations: raise "
            "train.steps or change train.patience to go on",
            *(workdir, finished, wanted.train.patience),
        )
        return
    if task.jobs and finished is not None:
        log.info("%s: training was done at step %d", task, finished)
        return
    name = strategies.choose(strategy, task)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(files.locked(workdir)) if task.is_chief else None
        try:
            _train(wanted, inputs, workdir, task, name, limits, lock)
        except tf.errors.ResourceExhaustedError as error:
            raise Failed(f"no room is left, on a disk or in memory: {error.message.splitlines()[0]}") from error


def _train(wanted, inputs, workdir, task, name, limits, lock) -> None:
    begin, watchdog = time.monotonic(), Watchdog(limits.hang)
    connected = strategies.connect(name, task, wanted, watchdog, limits)
    training, validating, source = inputs.load(wanted, workdir)
    train_state = TrainState(wanted)
    checkpoints = checkpoint.Checkpoints(
        workdir, train_state.checkpointed(), keep=wanted.train.keep_checkpoints, size=train_state.size
    )
    if lock:
        lock.check()
        described = {"data": inputs.data, "validation_data": inputs.validation}
        restored = resume.resume(wanted, workdir, train_state, checkpoints, training, source, inputs=described)
        log.info("%s, %s: %s parameters, %s", wanted.experiment, name, train_state.count, restored)
        log.info("%d pictures to train on, %d to validate on", len(training), len(validating))
    if int(train_state.step.numpy()) < wanted.train.steps:
        runner = strategies.make_runner(connected, task, train_state, training, wanted, watchdog=watchdog)
        hooks = _hooks(wanted, workdir, runner, train_state, checkpoints, (training, validating), lock)
        _run_session(wanted, runner, hooks, checkpoints, limits, watchdog)
    if lock:
        lock.check()
        files.finish(workdir, wanted, int(train_state.step.numpy()))
    elif not files.wait_for_finish(workdir, wanted, limits.wait):
        raise Interrupted(f"{task}: the chief has not finished what all trained; starting again, to join it")
    log.info("done at step %d after %s", int(train_state.step.numpy()), loop.clock(time.monotonic() - begin))


def _run_session(wanted, runner, hooks, checkpoints, limits, watchdog) -> None:
    together = isinstance(runner, Synchronous)
    loop.run(
        runner.run_steps,
        runner.read_step,
        hooks,
        total_steps=wanted.train.steps,
        agree=runner.agree if together else bool,
        part=runner.part if together else lambda: None,
        recover=Recovery(runner, checkpoints, limits.restarts) if isinstance(runner, ParameterServers) else None,
        asked_to_stop=watchdog.hurry,
    )


def _hooks(wanted, workdir, runner, train_state, checkpoints, pictures, lock) -> list[loop.Hook]:
    """What the chief does between steps; the others keep the same intervals, so that all wait together."""
    every, (training, validating) = wanted.train, pictures
    if lock is None:
        intervals = (every.log_every, every.checkpoint_every, wanted.tensorboard.every, every.evaluate_every)
        return [loop.Hook(interval, lambda *_: None, on_stop=True) for interval in intervals]
    monitor = ChiefHooks(workdir, wanted, checkpoints, first_step=runner.read_step())
    served = isinstance(runner, ParameterServers)
    predictor = Predictor(train_state.recogniser, train_state.reading_params, train_state.state, wanted)
    board = Board(monitor, train_state, training, validating)
    lock.check()
    board.start()

    def save(step: int, figures: dict[str, float]) -> None:
        runner.collect()
        monitor.save(step, figures)
        if served:
            runner.welcome()

    def show(step: int, figures: dict[str, float]) -> None:
        runner.collect()
        board.write(step, figures)

    def validate(step: int, _: dict[str, float]) -> None:
        monitor.validate(step, predictor, validating)

    hooks = [
        loop.Hook(every.log_every, monitor.log_training, recovered=monitor.speed.restart),
        loop.Hook(every.log_every, monitor.profile),
        loop.Hook(every.checkpoint_every, save, on_stop=True, seconds=every.checkpoint_seconds),
        loop.Hook(wanted.tensorboard.every, show),
        # On parameter servers nobody waits for the chief to read: there is an evaluator.
        loop.Hook(every.evaluate_every, monitor.follow_evaluator if served else validate),
    ]
    return [dataclasses.replace(hook, act=lock.guard(hook.act)) for hook in hooks]


def run_task(wanted: schema.Config, task: Task, inputs: Inputs, *, workdir: str, **how) -> None:
    """Do what this process is there for: see `train_and_evaluate`, `server.serve` and `sidecar_evaluator.follow`.

    Raises:
      UserError: the settings do not fit the inputs; or as those do.
    """
    limits: Limits = how["limits"]
    inputs.check(wanted)
    if task.role == "ps" or (task.role == "worker" and "ps" in task.jobs):
        server.serve(task, lambda: files.finished_step(workdir, wanted) is not None, wait=limits.patience)
    elif task.role == "evaluator":
        validating = inputs.load(wanted, workdir)[1]
        leave(sidecar_evaluator.follow(workdir, wanted, validating, wait=limits.patience))
    else:
        train_and_evaluate(wanted, inputs, workdir=workdir, task=task, **how)
