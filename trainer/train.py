"""Trains a recogniser: `python -m trainer.train --help`."""

import logging
import sys
import time
import traceback

from trainer import cli, cluster, config, experiments, session

log = logging.getLogger(__name__)


def train_and_evaluate(
    wanted: config.Config,
    *,
    workdir: str,
    data: list[str],
    validation: list[str],
    task: cluster.Task | None = None,
    strategy: str = "auto",
    limits: session.Limits | None = None,
) -> None:
    """Trains until the configured step, going on from the newest checkpoint in the work folder.

    Args:
      wanted: the configuration; it is stored in the work folder.
      workdir: where checkpoints, metrics and summaries go.
      data: datasets with a `train` split.
      validation: datasets with a `validation` split; where there are none, those of `data` that have one
        serve, and where none has, a share of the training pictures is held out.
      task: what this process is: alone, the chief, or a synchronous worker.
      strategy: see `strategies.choose`.
      limits: of a cluster.
    Raises:
      UserError: the data or the work folder is not usable, or the validation data are trained on, too.
      session.Stopped: SIGTERM came; a checkpoint was saved.
      FloatingPointError: the loss is no longer finite.
    """
    from trainer import checkpoint, leaks, strategies
    from trainer import workdir as work
    from trainer.learner import Learner
    from trainer.lease import Lease
    from trainer.watchdog import Watchdog

    task, limits = task or cluster.Task(), limits or session.Limits()
    if task.jobs and (finished := work.finished_step(workdir, wanted)) is not None:
        log.info("%s: training was done at step %d", task, finished)
        return
    begin, name = time.monotonic(), strategies.choose(strategy, task)
    lease = Lease(workdir) if task.is_chief else None
    watchdog = Watchdog(limits.hang)
    connected = strategies.connect(name, task, wanted, watchdog, limits)
    training, validating = _pictures(wanted, workdir, data, validation)
    learner = Learner(wanted)
    checkpoints = checkpoint.Checkpoints(
        workdir, learner.checkpointed(), keep=wanted.train.keep_checkpoints, size=learner.size
    )
    if lease:
        work.start(workdir, wanted)
        leaks.remember(workdir, training.fingerprints)
        restored = checkpoints.restore()
        log.info(
            "%s, %s: %s parameters, %s",
            wanted.experiment,
            name,
            learner.count,
            f"from {restored}" if restored else "new",
        )
        log.info("%d pictures to train on, %d to validate on", len(training), len(validating))
    if int(learner.step.numpy()) < wanted.train.steps:
        runner = strategies.make_runner(connected, task, learner, training, wanted, watchdog=watchdog)
        hooks = _hooks(wanted, workdir, runner, learner, checkpoints, validating, lease)
        _run_session(wanted, runner, hooks, checkpoints, limits)
    if lease:
        work.finish(workdir, wanted, int(learner.step.numpy()))
        lease.release()
    log.info("done at step %d after %s", int(learner.step.numpy()), session.clock(time.monotonic() - begin))


def _run_session(wanted, runner, hooks, checkpoints, limits) -> None:
    from trainer.recovery import Recovery
    from trainer.runners.parameter_server import ParameterServers
    from trainer.runners.synchronous import Synchronous

    session.run(
        runner.run_steps,
        runner.read_step,
        hooks,
        total_steps=wanted.train.steps,
        agree=runner.agree if isinstance(runner, Synchronous) else bool,
        recover=Recovery(runner, checkpoints, limits.restarts) if isinstance(runner, ParameterServers) else None,
    )


def _hooks(wanted, workdir, runner, learner, checkpoints, validating, lease) -> list[session.Hook]:
    """What the chief does between steps; the others keep the same intervals, so that all wait together."""
    from trainer.monitor import Monitor
    from trainer.reading import Reader
    from trainer.runners.parameter_server import ParameterServers

    every = wanted.train
    if lease is None:
        intervals = (every.log_every, every.checkpoint_every, every.evaluate_every)
        return [session.Hook(interval, lambda *_: None, on_stop=True) for interval in intervals]
    monitor = Monitor(workdir, wanted, checkpoints, first_step=runner.read_step())
    served = isinstance(runner, ParameterServers)
    reader = Reader(learner.recogniser, learner.reading_params, learner.state, wanted)

    def save(step: int, figures: dict[str, float]) -> None:
        lease.check()
        runner.collect()
        monitor.save(step, figures)
        if served:
            runner.welcome()

    def validate(step: int, _: dict[str, float]) -> None:
        monitor.validate(step, reader, validating)

    return [
        session.Hook(every.log_every, monitor.log_training),
        session.Hook(every.log_every, monitor.profile),
        session.Hook(every.checkpoint_every, save, on_stop=True, seconds=every.checkpoint_seconds),
        # On parameter servers nobody waits for the chief to read: there is an evaluator.
        session.Hook(every.evaluate_every, monitor.follow_evaluator if served else validate),
    ]


def _pictures(wanted: config.Config, workdir: str, data: list[str], validation: list[str]):
    """The pictures to train on and to validate on, none of which was ever trained on in the work folder."""
    import numpy as np

    from trainer import input_pipeline, leaks, records

    folders = validation or [f for f in data if "validation" in records.read_info(f).splits]
    training = input_pipeline.load(data, "train", wanted)
    if folders:
        validating = input_pipeline.load(folders, "validation", wanted)
    else:
        training, validating = input_pipeline.hold_out(training, wanted)
    trained_on = np.union1d(training.fingerprints, leaks.remembered(workdir))
    advice = "give other validation data, or train in another --workdir if this one was trained on them before"
    leaks.check(validating.keys, validating.fingerprints, trained_on, data="the validation data", advice=advice)
    return training, validating


def run_task(
    wanted: config.Config, task: cluster.Task, *, workdir: str, data: list[str], validation: list[str], **how
) -> None:
    """Does what this process is there for: see `train_and_evaluate`, `server.serve` and `evaluator.follow`."""
    from trainer import workdir as work

    limits: session.Limits = how["limits"]
    if task.role == "ps" or (task.role == "worker" and "ps" in task.jobs):
        from trainer import server

        server.serve(task, lambda: work.finished_step(workdir, wanted) is not None, wait=limits.patience)
    elif task.role == "evaluator":
        from trainer import evaluator

        _, validating = _pictures(wanted, workdir, data, validation)
        session.leave(evaluator.follow(workdir, wanted, validating, wait=limits.patience))
    else:
        train_and_evaluate(wanted, workdir=workdir, data=data, validation=validation, task=task, **how)


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
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change the experiment, e.g. train.steps=2000",
    )
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
    run_task(
        wanted,
        cluster.configure(),
        workdir=args.workdir,
        data=args.data,
        validation=args.validation_data,
        strategy=args.strategy,
        limits=limits,
    )


if __name__ == "__main__":
    session.leave(main())
