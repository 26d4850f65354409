"""Trains on a cluster of processes on this machine: `python -m trainer.cluster --help`."""

import argparse
import signal
import sys

from trainer import cli, cluster


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the chief's exit status."""
    status = 0

    def run(argv: list[str] | None) -> None:
        nonlocal status
        status = _run(argv)

    return cli.exit_status(run, argv) or status


def _run(argv: list[str] | None) -> int:
    parser = cli.parser(
        description="Train on a cluster of processes on this machine. What fails is started again, as by a Job's Pods.",
        example="python -m trainer.cluster --workers 2 --ps 2 -- --experiment smoke --data DIR --workdir runs/cluster",
    )
    parser.add_argument("--workers", type=int, default=2, help="worker tasks")
    parser.add_argument("--ps", type=int, default=0, help="parameter servers; with none the workers are synchronous")
    parser.add_argument("--evaluators", type=int, default=None, help="1 with parameter servers, else 0")
    parser.add_argument("--kill-every", type=_seconds, default=0.0, metavar="5s", help="kill a random task so often")
    parser.add_argument("--back-off-limit", type=int, default=6, help="how often a task may fail")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENTS", help="of trainer.train")
    args = parser.parse_args(argv)
    if args.workers < 1 or args.ps < 0:
        raise cli.UserError(f"--workers {args.workers} --ps {args.ps}: at least 1 worker, and no fewer than 0 servers")
    cluster.configure()
    from trainer.cluster.local import LocalCluster

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with LocalCluster(
        args.arguments,
        workers=args.workers,
        servers=args.ps,
        evaluators=(1 if args.ps else 0) if args.evaluators is None else args.evaluators,
        back_off_limit=args.back_off_limit,
    ) as local:
        return local.run(kill_every=args.kill_every)


def _seconds(text: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: write seconds, e.g. 5s") from error


if __name__ == "__main__":
    sys.exit(main())
