"""Recovery soak test, `make soak`: repeatedly kill a random task of a local cluster and report the cost of recovery.

Prints one table per mode and writes JSON. The final step must be exact, and no process may be left. The same run
without interruptions follows, to the same step, to compare the accuracy of both on the held-out images.
"""

import argparse
import io
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from beam_pipelines import synthesize
from trainer.cluster import environment
from trainer.cluster.local import LocalCluster
from trainer.inference.measuring import metrics
from trainer.workdir import files

LOG_EVERY, CHECKPOINT_EVERY = 10, 50
NOTICED = 1.0  # seconds after a loss in which earlier steps may still be logged; they count as recovery
STEP = re.compile(r"^\[(?:chief|worker 0)\] \S+ step (\d+)/", re.M)
RUNS = ("killed", "undisturbed")
MODES = {"parameter-server": {"servers": 2, "evaluators": 1}, "multi-worker": {"servers": 0, "evaluators": 0}}


def soak(mode: str, data: str, folder: Path, *, rounds: int, seconds: float, seed: int) -> dict:
    """Kill tasks `rounds` times, about `seconds` after training resumes; then finish it, and a run without kills."""
    output, chance, kills = io.StringIO(), random.Random(seed), []
    settings = [f"train.log_every={LOG_EVERY}", f"train.checkpoint_every={CHECKPOINT_EVERY}"]
    # A constant learning rate, so that a run does not depend on its final step.
    settings += ["train.evaluate_every=5000", "data.holdout=0.25", "optimizer.schedule=constant"]
    arguments = ["--experiment", "smoke", "--data", data, "--wait", "120", "--set", *settings]
    with LocalCluster(
        [*arguments, "train.steps=100000000", "--workdir", f"{folder}/killed"],
        workers=2,
        back_off_limit=10**6,
        output=output,
        **MODES[mode],
    ) as local:
        for _ in range(rounds):
            _go_on(local, output, len(output.getvalue()))
            time.sleep(chance.uniform(0.5, 1.5) * seconds)
            victim = chance.choice([name for name in local.tasks if local.is_running(name)])
            begin = time.monotonic()
            local.kill(victim)
            local.processes[victim].wait()
            time.sleep(NOTICED)
            before = _steps(output, 0)[-1]
            first = _go_on(local, output, len(output.getvalue()))
            row = {
                "role": victim.split()[0],
                "seconds": round(time.monotonic() - begin, 1),
                "steps_lost": max(0, before - first + LOG_EVERY),
            }
            kills.append(row)
            print(f"  {mode}: killed {victim} at step {before}, {row}", flush=True)
    end = max(_steps(output, 0)) + 100
    read = {name: _finish(mode, [*arguments, f"train.steps={end}"], f"{folder}/{name}", end) for name in RUNS}
    return {"kills": kills, "steps": end, "read": read}


def _finish(mode: str, arguments: list[str], folder: str, end: int) -> tuple[float, float, float]:
    """Train up to the end; return the proportion of held-out numbers read correctly, and its 95 % interval."""
    with LocalCluster([*arguments, "--workdir", folder], workers=2, output=io.StringIO(), **MODES[mode]) as local:
        status = local.run(timeout=3600)
    finished = json.loads(Path(folder, "FINISHED").read_text())["step"]
    if (status, finished) != (0, end) or len(local.done) != len(local.tasks):
        sys.exit(f"{mode}: ended with status {status} at step {finished} of {end}, done {local.done}")
    last = [row for row in files.read_metrics(folder) if (row["kind"], row["step"]) == ("validation", end)][-1]
    share, count = last["sequence_accuracy"], last["examples"]
    return share, *metrics.wilson_interval(round(share * count), int(count))


def _steps(output: io.StringIO, mark: int) -> list[int]:
    return [int(step) for step in STEP.findall(output.getvalue()[mark:])]


def _go_on(local: LocalCluster, output: io.StringIO, mark: int, timeout: float = 300.0) -> int:
    """Wait until all tasks run and a new step is logged; return the first new step."""
    deadline = time.monotonic() + timeout
    while not ((steps := _steps(output, mark)) and all(map(local.is_running, local.tasks))):
        if (status := local.poll()) is not None or time.monotonic() > deadline:
            sys.exit(f"training did not resume (status {status}):\n{output.getvalue()[-5000:]}")
        time.sleep(0.1)
    return steps[0]


def table(mode: str, found: dict) -> str:
    """Return a table of the recoveries by role."""
    kills = found["kills"]
    by_role: dict[str, list[dict]] = defaultdict(list)
    for kill in kills:
        by_role[kill["role"]].append(kill)
    rows = [f"| {mode}: killed | times | seconds, median | most | steps lost, most |", "|---|---|---|---|---|"]
    for role, of_role in sorted(by_role.items()):
        seconds = [kill["seconds"] for kill in of_role]
        lost = max(kill["steps_lost"] for kill in of_role)
        rows.append(f"| {role} | {len(of_role)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} | {lost} |")
    reads = [f"{name} {share:.1%} ({low:.1%} to {high:.1%})" for name, (share, low, high) in found["read"].items()]
    return "\n".join(
        [*rows, "", f"{mode}: held-out numbers fully correct after {found['steps']:,} steps: " + ", ".join(reads)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills per mode")
    parser.add_argument("--every", type=float, default=3.0, help="approximate seconds of training between kills")
    parser.add_argument("--mode", choices=[*MODES], nargs="+", default=[*MODES])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="soak.json")
    args = parser.parse_args()
    environment.configure()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        synthesize.main(["--count", "2000", "--max-digits", "2", "--num-shards", "2", "--seed", "5", "--output", data])
        for mode in args.mode:
            results[mode] = soak(mode, data, Path(folder, mode), rounds=args.rounds, seconds=args.every, seed=args.seed)
    print("\n\n".join(table(mode, found) for mode, found in results.items()))
    Path(args.output).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
