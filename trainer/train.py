"""Trains a recogniser: `python -m trainer.train --help`."""

import logging
import sys
import threading
import time

from trainer import cli, cluster, config, experiments

log = logging.getLogger(__name__)


def train_and_evaluate(wanted: config.Config, *, workdir: str, data: list[str], validation: list[str]) -> None:
    """Trains until the configured step, going on from the newest checkpoint in the work folder.

    Args:
      wanted: the configuration; it is stored in the work folder.
      workdir: where checkpoints, metrics and summaries go.
      data: datasets with a `train` split.
      validation: datasets with a `validation` split; where there are none, those of `data` that have one
        serve, and where none has, a share of the training pictures is held out.
    Raises:
      UserError: the data or the work folder is not usable, or the validation data are trained on, too.
      session.Stopped: SIGTERM came; a checkpoint was saved.
      FloatingPointError: the loss is no longer finite.
    """
    import tensorflow as tf

    from trainer import checkpoint, input_pipeline, leaks, session
    from trainer import workdir as work
    from trainer.learner import Learner
    from trainer.monitor import Monitor
    from trainer.reading import Reader
    from trainer.tensorboard import Board

    training, validating = _pictures(wanted, workdir, data, validation)
    work.start(workdir, wanted)
    leaks.remember(workdir, training.fingerprints)
    learner = Learner(wanted)
    checkpoints = checkpoint.Checkpoints(workdir, learner.checkpointed(), keep=wanted.train.keep_checkpoints)
    restored = checkpoints.restore()
    first_step = int(learner.step.numpy())
    parameters = sum(int(tf.size(p)) for p in learner.params.values())
    log.info("%s: %s parameters, %s", wanted.experiment, f"{parameters:,}", f"from {restored}" if restored else "new")
    log.info("%d pictures to train on, %d to validate on", len(training), len(validating))

    batches = iter(input_pipeline.training_batches(training, wanted, first_step=first_step))
    step_once = tf.function(learner.train_step)

    def run_steps(count: int, stop: threading.Event) -> dict[str, float]:
        sums: dict[str, tf.Tensor] = {}
        done = 0
        while done < count and not stop.is_set():
            figures = step_once(next(batches))
            sums = {name: sums[name] + value if name in sums else value for name, value in figures.items()}
            done += 1
        return session.mean_figures(sums, done)

    reader = Reader(learner.recogniser, learner.reading_params, learner.state, wanted)
    monitor = Monitor(workdir, wanted, checkpoints, first_step=first_step)
    board = Board(monitor, learner, training, validating)
    board.start()
    hooks = [
        session.Hook(wanted.train.log_every, monitor.log_training),
        session.Hook(wanted.train.checkpoint_every, monitor.save, on_stop=True),
        session.Hook(wanted.tensorboard.every, board.write),
        session.Hook(wanted.train.evaluate_every, lambda step, _: monitor.validate(step, reader, validating)),
    ]
    begin = time.monotonic()
    session.run(run_steps, lambda: int(learner.step.numpy()), hooks, total_steps=wanted.train.steps)
    log.info("done at step %d after %s", int(learner.step.numpy()), session.clock(time.monotonic() - begin))


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


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    from trainer.session import STOPPED_STATUS, Stopped

    try:
        return cli.exit_status(_run, argv)
    except Stopped as reason:
        print(reason, file=sys.stderr)
        return STOPPED_STATUS


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
    args = parser.parse_args(argv)
    wanted = config.override(experiments.find(args.experiment), args.set)
    cluster.configure()
    train_and_evaluate(wanted, workdir=args.workdir, data=args.data, validation=args.validation_data)


if __name__ == "__main__":
    sys.exit(main())
