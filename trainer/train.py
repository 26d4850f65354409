"""Train a recogniser: `python -m trainer.train --help`."""

import argparse
import contextlib
import logging
import traceback
from dataclasses import replace

from trainer import cli, logs
from trainer.cluster import environment, place_checks
from trainer.cluster.limits import Limits
from trainer.cluster.stopping import Stopped, command_again, ended_by_sigterm_at_start
from trainer.config import experiments, schema, typed
from trainer.exit_status import FAILED_STATUS, Failed, Interrupted, leave
from trainer.training.inputs import Inputs


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        return cli.exit_status(_run, argv)
    except Stopped as reason:
        _say(str(reason), logging.ERROR)
        return reason.status
    except (Interrupted, Failed, FloatingPointError, OSError) as reason:
        _say(str(reason), logging.ERROR)
        return FAILED_STATUS
    except Exception:
        _say(traceback.format_exc().rstrip(), logging.ERROR)
        return FAILED_STATUS


def _say(text: str, level: int = logging.WARNING) -> None:
    with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
        logs.say(text, level)


def _run(argv: list[str] | None) -> None:
    with ended_by_sigterm_at_start():  # parsing may wait for a bucket
        args = _parser().parse_args(argv)
        config = schema.override(experiments.find(args.experiment), args.set)
        limits = Limits(args.hang_timeout, args.wait, args.max_restarts, args.min_workers)
        inputs = Inputs(args.data, args.validation_data, args.init_from)
        _train(argv, args, config, inputs, limits)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Train a recogniser or a finder. Run it again on the same work folder to resume.",
        example="python -m trainer.train --experiment compact --data data/svhn data/synthetic --workdir runs/first",
        check_reach=place_checks.check,
    )
    parser.add_argument("--experiment", default="compact", help=cli.EXPERIMENT)
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets with a train split")
    parser.add_argument(
        "--validation-data", nargs="+", default=[], metavar="DIR", help="datasets with a validation split"
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder for checkpoints, metrics and summaries")
    parser.add_argument(
        "--init-from",
        default="",
        metavar="WORKDIR_OR_CHECKPOINT_OR_MODEL",
        help="start a new work folder with the weights of another run or of an exported model (released: the one that "
        "ships with the package), where name and shape match",
    )
    cli.add_settings(parser, what="override settings of the experiment, e.g. train.steps=2000")
    parser.add_argument(
        "--strategy",
        choices=["auto", *environment.STRATEGIES],
        default="auto",
        help="how to distribute training; auto: by the environment variables of the cluster",
    )
    _add_cluster(parser)
    return parser


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    group = parser.add_argument_group("in a cluster")
    seconds, count = typed.argument(float, typed.Range(0, 10_000_000, above=True)), typed.Range(0, 10_000)
    group.add_argument(
        "--hang-timeout", type=seconds, default=limits.hang, help="seconds without a step before exiting with status 41"
    )
    group.add_argument("--wait", type=seconds, default=limits.wait, help="seconds to wait for the other tasks")
    group.add_argument(
        "--max-restarts",
        type=typed.argument(int, count),
        default=limits.restarts,
        help="recoveries without progress before giving up",
    )
    group.add_argument(
        "--min-workers",
        type=typed.argument(int, replace(count, low=1)),
        default=limits.least_workers,
        help="with parameter servers: continue with at least this many workers",
    )


def _train(
    argv: list[str] | None, args: argparse.Namespace, config: schema.Config, inputs: Inputs, limits: Limits
) -> None:
    task = environment.configure()
    from trainer.training import precision, run

    try:
        fitted = precision.chosen(inputs.fitted(config, args.set), args.workdir)
        run.run_task(fitted, task, inputs, workdir=args.workdir, strategy=args.strategy, limits=limits)
    except Stopped:
        if not task.jobs:
            _say(f"to resume, run again: {command_again('trainer.train', argv)}")
        raise


if __name__ == "__main__":
    leave(main())
