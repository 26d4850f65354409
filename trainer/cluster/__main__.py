"""Train on a cluster of processes on this machine: `python -m trainer.cluster --help`."""

import argparse
import contextlib
import dataclasses
import logging
import signal
import sys

from trainer import cli, logs
from trainer.cluster import environment
from trainer.cluster.stopping import Stopped, command_again, stoppable
from trainer.config import typed

log = logging.getLogger(__name__)

OPEN_PORTS = (
    "TensorFlow's servers listen on all network interfaces, without authentication, and run any graph: make sure that "
    "nobody else can reach this machine, e.g. with a firewall."
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the chief's exit status."""
    status = 0

    def run(argv: list[str] | None) -> None:
        nonlocal status
        status = _run(argv)

    try:
        return cli.exit_status(run, argv) or status
    except Stopped as reason:
        with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
            logs.say(f"to resume, run again: {command_again('trainer.cluster', argv)}", logging.WARNING)
            logs.say(str(reason), logging.ERROR)
        return reason.status


def _run(argv: list[str] | None) -> int:
    args = _parser().parse_args(argv)
    if sys.platform == "win32":
        raise cli.UserError("a local cluster needs Linux or macOS: train with svhn train, or in a Linux container")
    from trainer.cluster.isolation import isolate_network
    from trainer.cluster.local import LocalCluster

    environment.configure(use_tensorflow=False)
    remote = any("://" in argument for argument in args.arguments)
    if args.host_network or remote or not isolate_network():
        log.warning("%s", OPEN_PORTS)
    local = LocalCluster(
        [*logs.chosen().words(), *args.arguments],
        workers=args.workers,
        servers=args.parameter_servers,
        evaluators=(1 if args.parameter_servers else 0) if args.evaluators is None else args.evaluators,
        back_off_limit=args.restarts,
    )
    with stoppable(_stop), local:
        return local.run(kill_every=args.kill_every)


def _stop(number: int) -> None:
    """Leave the cluster, whose tasks are then asked to save and stop."""
    raise Stopped(f"stopped by {signal.Signals(number).name}", number)


def _seconds(text: str) -> float:
    return typed.argument(float, typed.Range(0, 10_000_000))(text.removesuffix("s"))


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Train on a cluster of processes on this machine. Tasks that fail are restarted, as Pods are. "
        "The cluster gets its own network if the system allows that and no data is in a bucket. Otherwise, "
        + OPEN_PORTS,
        example="python -m trainer.cluster --workers 2 --parameter-servers 2 -- --experiment smoke --data DIR "
        "--workdir runs/cluster",
    )
    _add_tasks(parser)
    _add_faults(parser)
    parser.add_argument("--host-network", action="store_true", help="always use the machine's network")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENTS", help="arguments of trainer.train")
    return parser


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    count = typed.Range(0, 1_000)
    parser.add_argument(
        "--workers", type=typed.argument(int, dataclasses.replace(count, low=1)), default=2, help="worker tasks"
    )
    servers = parser.add_argument(
        "--parameter-servers",
        type=typed.argument(int, count),
        default=0,
        help="parameter servers; without any, the workers are synchronous",
    )
    cli.accept_former(parser, "--ps", of=servers)
    parser.add_argument(
        "--evaluators",
        type=typed.argument(int, count),
        default=None,
        help="evaluator tasks; by default 1 with parameter servers, else 0",
    )


def _add_faults(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kill-every",
        type=_seconds,
        default=0.0,
        metavar="5s",
        help="repeatedly kill a random task, about once in this time",
    )
    restarts = parser.add_argument(
        "--restarts",
        type=typed.argument(int, typed.Range(0, 10_000)),
        default=6,
        help="how often each failing task is restarted before the cluster gives up",
    )
    cli.accept_former(parser, "--back-off-limit", of=restarts)


if __name__ == "__main__":
    sys.exit(main())
