"""Trains a recogniser: `python -m trainer.train --help`."""

import contextlib
import logging
import sys
import time
import traceback
from dataclasses import dataclass, field

from trainer import cli, cluster, config, experiments, session

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What is trained on.

    Attributes:
      data: datasets with a `train` split.
      validation: datasets with a `validation` split; where there are none, those of `data` that have one
        serve, and where none has, a share of the training pictures is held out.
      init_from: what `init_from.find` takes, whose weights a new work folder begins with; empty for new ones.
    """

    data: list[str]
    validation: list[str] = field(default_factory=list)
    init_from: str = ""


def train_and_evaluate(
    wanted: config.Config,
    inputs: Inputs,
    *,
    workdir: str,
    task: cluster.Task | None = None,
    strategy: str = "auto",
    limits: session.Limits | None = None,
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
      session.Stopped: SIGTERM came; a checkpoint was saved.
      FloatingPointError: the loss is no longer finite.
    """
    from trainer import strategies
    from trainer import workdir as work
    from trainer.lease import Lease

    task, limits = task or cluster.Task(), limits or session.Limits()
    if task.jobs and (finished := work.finished_step(workdir, wanted)) is not None:
        log.info("%s: training was done at step %d", task, finished)
        return
    name = strategies.choose(strategy, task)
    with contextlib.ExitStack() as stack:
        lease = stack.enter_context(Lease(workdir)) if task.is_chief else None
        _train(wanted, inputs, workdir, task, name, limits, lease)


def _train(wanted, inputs, workdir, task, name, limits, lease) -> None:
    from trainer import checkpoint, strategies
    from trainer import workdir as work
    from trainer.learner import Learner
    from trainer.watchdog import Watchdog

    begin, watchdog = time.monotonic(), Watchdog(limits.hang)
    connected = strategies.connect(name, task, wanted, watchdog, limits)
    training, validating, source = _pictures(wanted, workdir, inputs)
    learner = Learner(wanted)
    checkpoints = checkpoint.Checkpoints(
        workdir, learner.checkpointed(), keep=wanted.train.keep_checkpoints, size=learner.size
    )
    if lease:
        restored = _begin(wanted, workdir, learner, checkpoints, training.fingerprints, source)
        log.info("%s, %s: %s parameters, %s", wanted.experiment, name, learner.count, restored)
        log.info("%d pictures to train on, %d to validate on", len(training), len(validating))
    if int(learner.step.numpy()) < wanted.train.steps:
        runner = strategies.make_runner(connected, task, learner, training, wanted, watchdog=watchdog)
        hooks = _hooks(wanted, workdir, runner, learner, checkpoints, (training, validating), lease)
        _run_session(wanted, runner, hooks, checkpoints, limits, watchdog)
    if lease:
        work.finish(workdir, wanted, int(learner.step.numpy()))
    elif not work.wait_for_finish(workdir, wanted, limits.wait):
        raise session.Interrupted(f"{task}: the chief has not finished what all trained; starting again, to join it")
    log.info("done at step %d after %s", int(learner.step.numpy()), session.clock(time.monotonic() - begin))


def _begin(wanted, workdir, learner, checkpoints, fingerprints, source) -> str:
    """Gives a learner the values to begin with, and tells where they are from."""
    from trainer import checkpoint, init_from, leaks
    from trainer import workdir as work

    begins_from = source if source and not checkpoint.to_read(workdir) else None
    if begins_from:
        init_from.initialise(begins_from, learner.params, learner.state, averages=learner.optimizer.averages)
    elif source:
        log.info("%s goes on from its own checkpoint: --init-from was only for its beginning", workdir)
    work.start(workdir, wanted)
    leaks.remember(workdir, fingerprints)
    if begins_from:
        leaks.remember(workdir, begins_from.trained_on)
        checkpoints.save(0)  # from now on the work folder needs the other no more
    restored = checkpoints.restore()
    return f"from {restored}" if restored else "new"


def _run_session(wanted, runner, hooks, checkpoints, limits, watchdog) -> None:
    from trainer.recovery import Recovery
    from trainer.runners.parameter_server import ParameterServers
    from trainer.runners.synchronous import Synchronous

    together = isinstance(runner, Synchronous)
    session.run(
        runner.run_steps,
        runner.read_step,
        hooks,
        total_steps=wanted.train.steps,
        agree=runner.agree if together else bool,
        part=runner.part if together else lambda: None,
        recover=Recovery(runner, checkpoints, limits.restarts) if isinstance(runner, ParameterServers) else None,
        asked_to_stop=watchdog.hurry,
    )


def _hooks(wanted, workdir, runner, learner, checkpoints, pictures, lease) -> list[session.Hook]:
    """What the chief does between steps; the others keep the same intervals, so that all wait together."""
    from trainer.monitor import Monitor
    from trainer.reading import Reader
    from trainer.runners.parameter_server import ParameterServers
    from trainer.tensorboard import Board

    every, (training, validating) = wanted.train, pictures
    if lease is None:
        intervals = (every.log_every, every.checkpoint_every, wanted.tensorboard.every, every.evaluate_every)
        return [session.Hook(interval, lambda *_: None, on_stop=True) for interval in intervals]
    monitor = Monitor(workdir, wanted, checkpoints, first_step=runner.read_step())
    served = isinstance(runner, ParameterServers)
    reader = Reader(learner.recogniser, learner.reading_params, learner.state, wanted)
    board = Board(monitor, learner, training, validating)
    board.start()

    def save(step: int, figures: dict[str, float]) -> None:
        lease.check()
        runner.collect()
        monitor.save(step, figures)
        if served:
            runner.welcome()

    def show(step: int, figures: dict[str, float]) -> None:
        runner.collect()
        board.write(step, figures)

    def validate(step: int, _: dict[str, float]) -> None:
        monitor.validate(step, reader, validating)

    return [
        session.Hook(every.log_every, monitor.log_training),
        session.Hook(every.log_every, monitor.profile),
        session.Hook(every.checkpoint_every, save, on_stop=True, seconds=every.checkpoint_seconds),
        session.Hook(wanted.tensorboard.every, show),
        # On parameter servers nobody waits for the chief to read: there is an evaluator.
        session.Hook(every.evaluate_every, monitor.follow_evaluator if served else validate),
    ]


def _pictures(wanted: config.Config, workdir: str, inputs: Inputs):
    """The pictures to train on and to validate on, none of which the weights were ever trained on.

    Returns:
      Both, and the `init_from.Source` of the weights, or None.
    """
    import numpy as np

    from trainer import init_from, input_pipeline, leaks, records

    source = init_from.find(inputs.init_from) if inputs.init_from else None
    folders = inputs.validation or [f for f in inputs.data if "validation" in records.read_info(f).splits]
    training = input_pipeline.load(inputs.data, "train", wanted)
    if folders:
        validating = input_pipeline.load(folders, "validation", wanted)
    else:
        training, validating = input_pipeline.hold_out(training, wanted)
    before = np.union1d(leaks.remembered(workdir), source.trained_on if source else [])
    trained_on = np.union1d(training.fingerprints, before)
    advice = "give other validation data, or train in another --workdir if this one was trained on them before"
    leaks.check(validating.keys, validating.fingerprints, trained_on, data="the validation data", advice=advice)
    return training, validating, source


def run_task(wanted: config.Config, task: cluster.Task, inputs: Inputs, *, workdir: str, **how) -> None:
    """Does what this process is there for: see `train_and_evaluate`, `server.serve` and `evaluator.follow`."""
    from trainer import workdir as work

    limits: session.Limits = how["limits"]
    if task.role == "ps" or (task.role == "worker" and "ps" in task.jobs):
        from trainer import server

        server.serve(task, lambda: work.finished_step(workdir, wanted) is not None, wait=limits.patience)
    elif task.role == "evaluator":
        from trainer import evaluator

        validating = _pictures(wanted, workdir, inputs)[1]
        session.leave(evaluator.follow(workdir, wanted, validating, wait=limits.patience))
    else:
        train_and_evaluate(wanted, inputs, workdir=workdir, task=task, **how)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    try:
        return cli.exit_status(_run, argv)
    except session.Stopped as reason:
        print(reason, file=sys.stderr)
        return session.STOPPED_STATUS
    except session.Interrupted as reason:
        print(reason, file=sys.stderr)
        return session.FAILED_STATUS
    except Exception:
        traceback.print_exc()
        return session.FAILED_STATUS


def _run(argv: list[str] | None) -> None:
    parser = cli.parser(
        description="Train a recogniser. Started again on the same work folder, it goes on where it stopped.",
        example="python -m trainer.train --experiment compact --data data/svhn data/synthetic --workdir runs/first",
    )
    parser.add_argument("--experiment", default="compact", help="a function of trainer/experiments.py")
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets with a train split")
    parser.add_argument(
        "--validation-data", nargs="+", default=[], metavar="DIR", help="datasets with a validation split"
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="for checkpoints, metrics and summaries")
    parser.add_argument(
        "--init-from",
        default="",
        metavar="WORKDIR_OR_CHECKPOINT_OR_MODEL",
        help="begin a new work folder with the weights of another run or of an exported model (released: the one that "
        "comes with the package), as far as they fit",
    )
    cli.add_settings(parser, what="change the experiment, e.g. train.steps=2000")
    parser.add_argument(
        "--strategy", choices=["auto", *cluster.STRATEGIES], default="auto", help="how to train; auto: as in a cluster"
    )
    limits = session.Limits()
    group = parser.add_argument_group("in a cluster")
    group.add_argument("--hang-timeout", type=float, default=limits.hang, help="seconds without a step before exit 41")
    group.add_argument("--wait", type=float, default=limits.wait, help="seconds to wait for the other tasks")
    group.add_argument("--max-restarts", type=int, default=limits.restarts, help="recoveries without a step gained")
    group.add_argument(
        "--min-workers", type=int, default=limits.least_workers, help="go on with so many, on parameter servers"
    )
    args = parser.parse_args(argv)
    wanted = config.override(experiments.find(args.experiment), args.set)
    limits = session.Limits(args.hang_timeout, args.wait, args.max_restarts, args.min_workers)
    inputs = Inputs(args.data, args.validation_data, args.init_from)
    run_task(wanted, cluster.configure(), inputs, workdir=args.workdir, strategy=args.strategy, limits=limits)


if __name__ == "__main__":
    session.leave(main())
