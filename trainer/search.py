"""Search hyper-parameters with one training run each: `python -m trainer.search --help`.

Each run is a process of `trainer.train` with its own work folder. So the search survives whatever kills a run, even a
lack of memory, and a run gives the same result as its command line started by hand.
"""

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
from typing import Any

from trainer import cli, logs, progress
from trainer.cli import UserError
from trainer.cluster import environment, place_checks
from trainer.cluster.stopping import Stopped, command_again, stoppable
from trainer.config import experiments, schema, search_space, typed
from trainer.exit_status import BAD_RESULT_STATUS
from trainer.files import replaceable, whole_file
from trainer.training import ranking
from trainer.training.inputs import Inputs

log = logging.getLogger(__name__)

SEARCH_FILE = "search.json"
LOG_FILE = "train.log"


def plan(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the settings of each run by its name: every point of the grid with each of the random draws.

    Raises:
      UserError: a setting does not fit the experiment, or neither a grid nor random draws are given.
    """
    if not args.grid and not args.random:
        raise UserError("nothing to search: give --grid or --random")
    draws = [search_space.draw(args.random, seed=args.seed, trial=i) for i in range(args.trials if args.random else 1)]
    combined = [point + drawn for point in search_space.grid(args.grid) for drawn in draws]
    runs: dict[str, list[str]] = {}
    for settings in combined:
        keys = [setting.partition("=")[0] for setting in settings]
        if len(set(keys)) < len(keys):
            raise UserError(f"{' '.join(settings)} sets a key twice: give each key once, to either --grid or --random")
        schema.override(experiments.find(args.experiment), args.set + settings)
        name = search_space.run_name(settings)
        if runs.setdefault(name, settings) != settings:
            raise UserError(f"{runs[name]} and {settings} would share the work folder {name}: use separate searches")
    if len(runs) < len(combined):
        log.info("%d of the %d combinations are duplicates", len(combined) - len(runs), len(combined))
    return runs


def search(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train every run that is not finished yet, and store the ranking after each.

    Returns:
      The rows of `search.json`, best first: `name`, `settings`, `status` (`done`, `failed`, `waiting`); for runs with
      a validation also `sequence_accuracy` (of the best checkpoint) with its `interval_95`, or a finder's `f1`, `step`,
      and `seconds` of training; for failed runs, `error`.
    Raises:
      UserError: a setting is wrong, a dataset is missing or damaged, or a run in the work folder was started with
        another command.
    """
    import tensorflow as tf

    from trainer.workdir import checkpoint

    checkpoint.check_name(args.workdir, "--workdir")
    runs = plan(args)
    Inputs(args.data, args.validation_data).check_datasets()
    commands = {name: _command(args, name, settings) for name, settings in runs.items()}
    finished = {name: _is_finished(f"{args.workdir}/{name}", command) for name, command in commands.items()}
    tf.io.gfile.makedirs(args.workdir)
    _describe(args, runs)
    failures: dict[str, str] = {}
    with progress.bar("searching", len(runs), unit="run", done=sum(finished.values())) as show:
        for i, (name, command) in enumerate(commands.items(), start=1):
            if finished[name]:
                log.info("run %d/%d %s: already finished", i, len(runs), name)
                continue
            log.info("run %d/%d %s", i, len(runs), name)
            error = _train(f"{args.workdir}/{name}", command)
            finished[name] = error is None
            if error is not None:
                failures[name] = error
                log.warning("run %s failed: %s; its log is %s/%s/%s", name, error, args.workdir, name, LOG_FILE)
            whole_file.write_json(f"{args.workdir}/{SEARCH_FILE}", rank(args.workdir, runs, finished, failures))
            show(sum(finished.values()) + len(failures))
    rows = rank(args.workdir, runs, finished, failures)
    whole_file.write_json(f"{args.workdir}/{SEARCH_FILE}", rows)
    return rows


def _command(args: argparse.Namespace, name: str, settings: list[str]) -> list[str]:
    """Return the arguments of `trainer.train` for a run."""
    validation = ["--validation-data", *args.validation_data] if args.validation_data else []
    return [
        *("--experiment", args.experiment, "--data", *args.data, *validation),
        *("--workdir", f"{args.workdir}/{name}", "--set", *args.set, *settings),
    ]


def _is_finished(folder: str, command: list[str]) -> bool:
    try:
        record = whole_file.read_json(f"{folder}/{ranking.RUN_FILE}", advice="the run is restarted, and resumes")
    except UserError as error:
        log.warning("%s", error)
        return False
    if not record:
        return False
    before = record.get("command")
    if before != command:
        made = " ".join(map(str, before)) if isinstance(before, list) else before
        raise UserError(
            f"{folder} was trained with trainer.train {made}, but this search needs "
            f"{' '.join(command)}: choose another --workdir, or give the same experiment, data and --set as before"
        )
    return bool(record.get("finished"))


def _train(folder: str, command: list[str]) -> str | None:
    """Run `trainer.train` to its end; return the reason if it failed."""
    import tensorflow as tf

    tf.io.gfile.makedirs(folder)
    whole_file.write_json(f"{folder}/{ranking.RUN_FILE}", {"command": command, "finished": False})
    last = ""
    # A session of its own, so that Ctrl-C reaches only the search, which stops the run; Linux ends it with the search.
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.cluster.child", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    if "://" not in folder:
        replaceable.prepare_to_append(f"{folder}/{LOG_FILE}")
    with tf.io.gfile.GFile(f"{folder}/{LOG_FILE}", "a") as file:
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                last = line.strip() or last
        except BaseException:  # asked to stop: the run saves a checkpoint to resume from
            process.terminate()
            file.write(process.stdout.read())
            process.wait()
            raise
    if status := process.wait():
        return f"exit status {status}: {last}"
    whole_file.write_json(f"{folder}/{ranking.RUN_FILE}", {"command": command, "finished": True})
    return None


def rank(
    workdir: str, runs: dict[str, list[str]], finished: dict[str, bool], failures: dict[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of `search`, best first, those without a validation last."""
    from trainer.workdir import files

    rows = []
    for name, settings in runs.items():
        status = "done" if finished[name] else "failed" if name in failures else "waiting"
        row: dict[str, Any] = {"name": name, "settings": settings, "status": status}
        logged = files.read_metrics(f"{workdir}/{name}")
        if logged:
            with contextlib.suppress(UserError):  # a damaged config, which the next start rewrites
                row |= ranking.measured(logged, files.read_config(f"{workdir}/{name}"))
        rows.append(row | ({"error": failures[name]} if name in failures else {}))
    return sorted(rows, key=lambda row: (-ranking.score(row), row.get("seconds", 0.0)))


def _describe(args: argparse.Namespace, runs: dict[str, list[str]]) -> None:
    """Tell TensorBoard's HParams view which settings are searched, and which metrics rank the runs."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams_plugin

    from trainer.training.settings import hyper_parameters

    base = experiments.find(args.experiment)
    tried = [hyper_parameters(schema.override(base, args.set + settings)) for settings in runs.values()]
    searched = sorted({setting.partition("=")[0] for settings in runs.values() for setting in settings})
    with tf.summary.create_file_writer(f"{args.workdir}/tensorboard").as_default(step=0):
        hparams_plugin.hparams_config(
            hparams=[
                hparams_plugin.HParam(key, hparams_plugin.Discrete({values[key] for values in tried}))
                for key in searched
            ],
            metrics=[hparams_plugin.Metric(f"validation/{n}", display_name=t) for n, t in ranking.shown(base).items()],
        )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if a run failed."""
    rows: list[dict[str, Any]] = []
    try:
        with stoppable(_stop):
            status = cli.exit_status(lambda argv: rows.extend(_run(argv)), argv)
    except Stopped as reason:
        with contextlib.suppress(OSError):  # after SIGHUP there may be no terminal
            logs.say(f"to resume, run again: {command_again('trainer.search', argv)}", logging.WARNING)
            logs.say(str(reason), logging.ERROR)
        return reason.status
    return status or (BAD_RESULT_STATUS if any(row["status"] == "failed" for row in rows) else 0)


def _stop(number: int) -> None:
    raise Stopped(f"stopped by {signal.Signals(number).name}", number)


def _run(argv: list[str] | None) -> list[dict[str, Any]]:
    parser = cli.parser(
        description="Search hyper-parameters: one training run for each point of the grid with each random draw. "
        "Run it again to resume, or with more --trials to add runs.",
        example="python -m trainer.search --experiment compact --grid optimizer.learning_rate=1e-3,3e-3 "
        "--random optimizer.weight_decay=log:1e-5:1e-2 --trials 4 --data data/svhn --workdir runs/search",
        check_reach=place_checks.check,
    )
    parser.add_argument("--experiment", default="compact", help=cli.EXPERIMENT)
    parser.add_argument("--grid", nargs="+", action="extend", default=[], metavar="KEY=A,B", help="values to combine")
    parser.add_argument(
        "--random",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=KIND:...",
        help="values to draw: log:LOW:HIGH, uniform:LOW:HIGH, int:LOW:HIGH or choice:A:B",
    )
    parser.add_argument(
        "--trials",
        type=typed.argument(int, typed.Range(1, 1_000_000)),
        default=1,
        help="random draws for each point of the grid",
    )
    parser.add_argument(
        "--seed", type=typed.argument(int, typed.Range(0, 2**63)), default=0, help="seed of the random draws"
    )
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="datasets with a train split")
    parser.add_argument(
        "--validation-data", nargs="+", default=[], metavar="DIR", help="datasets with a validation split"
    )
    parser.add_argument(
        "--workdir", required=True, metavar="DIR", help="folder for search.json and a work folder per run"
    )
    cli.add_settings(parser, what="settings of all runs, e.g. train.steps=2000")
    args = parser.parse_args(argv)
    environment.configure()
    rows = search(args)
    print(ranking.table(rows))
    return rows


if __name__ == "__main__":
    sys.exit(main())
