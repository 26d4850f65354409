"""Measure each way to train on this machine: examples/s, checkpoint times, bytes per step; model up to 64 workers.

`python -m benchmarks.strategies --experiment compact --data DIR`
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time

from benchmarks import rows
from benchmarks.rows import HIGHER, Row
from trainer.cluster import environment
from trainer.cluster.local import LocalCluster
from trainer.config import experiments

RATE = re.compile(r"step \d+/\d+ .* (\d+) examples/s")
GIGABIT = 1e9 / 8  # bytes a second
MODELS = ("compact", "five_heads", "svhn_rnn")
WORKERS = (1, 2, 4, 8, 16, 32, 64)


def rates_in(text: str) -> list[float]:
    """Return the rates that a run has logged, except the first, which includes tracing."""
    return [float(found) for found in RATE.findall(text)[1:]]


def alone(arguments: list[str], workdir: str, *, cores: str) -> list[float]:
    """Return the examples per second of one process on some cores."""
    command = ["taskset", "-c", cores, sys.executable, "-m", "trainer.train", *arguments, "--workdir", workdir]
    return rates_in(subprocess.run(command, check=True, capture_output=True, text=True).stderr)


def together(arguments: list[str], workdir: str, *, servers: int) -> list[float]:
    """Return the examples per second of two workers and the given number of servers, as the chief counts them."""
    output = io.StringIO()
    with LocalCluster([*arguments, "--workdir", workdir], workers=2, servers=servers, output=output) as local:
        if status := local.run(timeout=500):
            sys.exit(f"ended with status {status}:\n{output.getvalue()[-3000:]}")
    return rates_in(output.getvalue())


def sizes(experiment: str, workdir: str) -> dict[str, float]:
    """Return the bytes of a model's parameters and of a checkpoint, and the seconds to save and to restore one."""
    from trainer.training.train_state import TrainState
    from trainer.workdir.checkpoint import Checkpoints

    train_state = TrainState(experiments.find(experiment))
    checkpoints = Checkpoints(workdir, train_state.checkpointed(), keep=1, size=train_state.size)
    begin = time.monotonic()
    checkpoints.save(1)
    saved = time.monotonic()
    checkpoints.restore()
    restored = time.monotonic()
    exchanged = {**train_state.params, **train_state.state}
    return {
        "exchanged_bytes": sum(v.shape.num_elements() * v.dtype.size for v in exchanged.values()),
        "checkpoint_bytes": train_state.size,
        "save_seconds": saved - begin,
        "restore_seconds": restored - saved,
    }


def scaling(step_seconds: float, exchanged: float, *, servers: int, link: float) -> list[dict]:
    """Model the speed-up of several workers over one, if only links and computing take time, and what limits it.

    Synchronous: computing, then a ring all-reduce that sends 2 (W - 1) / W of the exchanged bytes. Servers: a worker's
    step is computing, fetching and sending over its own link; all workers share the servers' links.
    """
    scaled = []
    for count in WORKERS:
        ring = 2 * (count - 1) / count * exchanged / link
        apart = step_seconds + 2 * exchanged / link
        served = min(count / apart, servers * link / (2 * exchanged)) * step_seconds
        limit = "servers' links" if count / apart > servers * link / (2 * exchanged) else "computing"
        synchronous = count * step_seconds / (step_seconds + ring)
        scaled.append({"workers": count, "synchronous": synchronous, "parameter_server": served, "limit": limit})
    return scaled


def tables(experiment: str, batch: int, servers: int, rates: list[Row], models: dict, scaled: list[dict]) -> str:
    """Return the results as Markdown."""
    lines = [f"| {experiment}, batch {batch} | examples/s | x one core |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.median:.0f} | {row.median / rates[0].median:.2f} |" for row in rates]
    lines += ["", "| model | MB per step, to + from a worker | MB per checkpoint | save, s | restore, s |"]
    lines += ["|---|---|---|---|---|"]
    for name, found in models.items():
        exchanged, stored = found["exchanged_bytes"] / 1e6, found["checkpoint_bytes"] / 1e6
        seconds = f"{found['save_seconds']:.2f} | {found['restore_seconds']:.2f}"
        lines.append(f"| {name} | {exchanged:.1f} + {exchanged:.1f} | {stored:.1f} | {seconds} |")
    lines += ["", f"| workers | synchronous | {servers} servers | limited by |", "|---|---|---|---|"]
    lines += [
        f"| {row['workers']} | {row['synchronous']:.1f} x | {row['parameter_server']:.1f} x | {row['limit']} |"
        for row in scaled
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="compact")
    parser.add_argument("--data", nargs="+", help="datasets; by default 2,000 drawn numbers")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--servers", type=int, default=4, help="servers in the model of up to 64 workers")
    parser.add_argument("--gigabits", type=float, default=10.0, help="speed of each link in the model, in Gbit/s")
    rows.add_argument(parser)
    args = parser.parse_args()
    environment.configure()
    batch = experiments.find(args.experiment).data.batch_size
    settings = [f"train.steps={args.steps}", "train.log_every=10", "train.evaluate_every=1000000"]
    everything = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory() as folder:
        data = args.data or _drawn(folder)
        arguments = ["--experiment", args.experiment, "--data", *data, "--set", *settings]
        measured = {
            "one process, one core": alone(arguments, f"{folder}/one", cores=everything.split(",")[0]),
            "one process, all cores": alone(arguments, f"{folder}/all", cores=everything),
            "2 synchronous processes": together(arguments, f"{folder}/sync", servers=0),
            "2 workers, 1 server": together(arguments, f"{folder}/ps", servers=1),
        }
        models = {name: sizes(name, f"{folder}/{name}") for name in dict.fromkeys((args.experiment, *MODELS))}
    one, *others = (Row(name, "examples/s", values, HIGHER) for name, values in measured.items())
    rates = [one, *(row.relative_to(one) for row in others)]
    exchanged = models[args.experiment]["exchanged_bytes"]
    scaled = scaling(batch / one.median, exchanged, servers=args.servers, link=args.gigabits * GIGABIT)
    print(tables(args.experiment, batch, args.servers, rates, models, scaled))
    rows.write(args.json, rates)


def _drawn(folder: str) -> list[str]:
    """Write a dataset of drawn numbers."""
    count = ["--count", "2000", "--num-shards", "4", "--seed", "5"]
    synthesize = [sys.executable, "-m", "beam_pipelines.synthesize", *count, "--output", f"{folder}/drawn"]
    subprocess.run(synthesize, check=True, stdout=subprocess.DEVNULL)
    return [f"{folder}/drawn"]


if __name__ == "__main__":
    main()
