"""Run an overlay in a cluster and follow it until it ends: `python -m k8s.submit --help`."""

import argparse
import logging
import sys

from k8s import render
from k8s.outage import Outage
from k8s.render import Choices
from trainer import cli, logs
from trainer.cli import UserError
from trainer.config import typed
from trainer.exit_status import BAD_RESULT_STATUS

VERBS = ("run", "status", "logs", "delete")
MOST_PODS = 100_000  # that a Kubernetes Job may run at once


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status: 0 if the run is complete, 2 for a user error, 1 if it failed.

    An outage of the API server is not a user error, so its exit status is 1.
    """
    ended = [0]

    def run(argv: list[str] | None) -> None:
        try:
            ended[0] = _run(argv)
        except Outage as error:
            logs.say(f"error: {error}", logging.ERROR)
            ended[0] = BAD_RESULT_STATUS

    return cli.exit_status(run, argv) or ended[0]


def _run(argv: list[str] | None) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    ours, training = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = _parser().parse_args(ours)
    if args.verb == "run":
        return _submit(args, training)
    if not args.name:
        raise UserError(f"--name is missing: say which run to {args.verb}")
    return {"delete": _delete, "logs": _logs, "status": _status}[args.verb](args.namespace, args.name)


def _submit(args: argparse.Namespace, training: list[str]) -> int:
    if not args.overlay:
        raise UserError(f"--overlay is missing: choose one of {', '.join(render.overlays())}")
    from rich.console import Console

    from k8s import client, run, watch

    objects = render.render(args.overlay, _choices(args, training))
    if args.dry_run:
        print(render.to_yaml(objects), end="")
        return 0
    console = Console(highlight=False, soft_wrap=True, markup=False)
    cluster = client.connect(args.namespace)
    name = next(o["data"]["CLUSTER_NAME"] for o in objects if "CLUSTER_NAME" in o.get("data", {}))
    server = next((o for o in objects if o["kind"] == "Deployment"), None)  # it runs until it is deleted
    if run.start(cluster, name, objects, console.print):
        console.print(f"run {name}: applied {len(objects)} objects in namespace {cluster.namespace}")
    else:
        console.print(f"run {name} is under way already{'' if server else ': following it'}")
    if server:
        port = server["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        console.print(f"kubectl port-forward -n {cluster.namespace} deployment/{server['metadata']['name']} {port}")
        return 0
    try:
        return watch.follow(cluster, name, console, give_up=args.give_up)
    except KeyboardInterrupt:
        console.print(f"run {name} continues; the same command follows it, delete --name {name} ends it")
        raise


def _choices(args: argparse.Namespace, training: list[str]) -> Choices:
    given = {
        "CLUSTER_WORKERS": args.workers,
        "CLUSTER_SERVERS": args.parameter_servers,
        "GPUS": args.gpus,
        "SHARES": args.partitions,
        "BACKOFF_LIMIT": args.restarts,
    }
    sizes = tuple((key, value) for key, value in given.items() if value is not None)
    components = tuple(dict.fromkeys([*(["gpu"] if args.gpus else []), *args.component]))
    return Choices(args.name, sizes, args.storage, components, args.image, tuple(training))


def _delete(namespace: str | None, name: str) -> int:
    from k8s import client, run

    cluster = client.connect(namespace)
    count = run.remove(cluster, name, lambda line: print(line, flush=True))
    if not count:
        raise UserError(f"run {name} does not exist in namespace {cluster.namespace}: see kubectl get jobs")
    print(f"removed {count} objects and Pods of run {name}; its storage is kept")
    return 0


def _logs(namespace: str | None, name: str) -> int:
    from k8s import client, diagnose, run

    cluster = client.connect(namespace)
    chief = run.find(cluster, name).chief()
    if chief is None:
        raise UserError(f"run {name} has no Pod with a log yet: see status")
    running = chief["status"].get("phase") == "Running"
    try:
        for _, text in cluster.log(chief["metadata"]["name"], follow=running):
            print(text, flush=True)
    except client.NotStarted as error:
        why = diagnose.problem(chief) or f"{chief['metadata']['name']} is {diagnose.state(chief)}"
        raise UserError(f"run {name} has no log yet: {why}; see status") from error
    return 0


def _status(namespace: str | None, name: str) -> int:
    from rich.console import Console

    from k8s import client, run, watch

    console = Console(highlight=False, soft_wrap=True, markup=False)
    snapshot = run.find(client.connect(namespace), name)
    console.print(watch.table(name, snapshot))
    for line in snapshot.problems().values():
        console.print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Run an overlay of k8s/ in the cluster that kubectl uses, and follow it. Arguments after -- are "
        "passed to the program in the Pods. Repeating the command follows a run that is under way, and resumes one "
        "that has ended. Interrupting it does not stop the run.",
        example="python -m k8s.submit --overlay multi-worker --name run7 --workers 4 --image registry/trainer:0.1.0 "
        "--storage gs://bucket/svhn -- --experiment compact --data gs://bucket/svhn/data/train",
    )
    parser.add_argument("verb", nargs="?", choices=VERBS, default="run", help="what to do with the run")
    parser.add_argument("--overlay", help=f"one of {', '.join(render.overlays())}")
    parser.add_argument("--name", help="name of the run and its work folder; by default as in the overlay's run.yaml")
    parser.add_argument("--namespace", help="namespace of the run; by default that of kubectl's context")
    pods = typed.integer(1, MOST_PODS)
    parser.add_argument("--workers", type=pods, help="worker tasks")
    servers = parser.add_argument("--parameter-servers", type=pods, help="parameter servers")
    cli.accept_former(parser, "--servers", of=servers)
    partitions = parser.add_argument("--partitions", type=pods, help="Pods of a pipeline, one for each partition")
    cli.accept_former(parser, "--shares", of=partitions)
    parser.add_argument("--gpus", type=typed.integer(1, 1000), help="GPUs for each Pod that computes")
    restarts = typed.integer(0, 2**31 - 1)
    parser.add_argument("--restarts", type=restarts, help="restarts of each Pod before the run fails; by default 10")
    parser.add_argument("--image", help="image of all Pods, with its tag")
    parser.add_argument(
        "--storage", help=f"{', '.join(render.STORAGES)}, or a folder in a bucket, gs://bucket/folder; default volume"
    )
    parser.add_argument(
        "--component", nargs="+", action="extend", default=[], help="components to add, e.g. spot kueue"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print the input for kubectl apply -f -")
    parser.add_argument(
        "--give-up",
        type=typed.argument(float, typed.Range(0, 10**7)),
        default=600.0,
        metavar="SECONDS",
        help="how long to follow a run that cannot start, or whose cluster does not answer",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
