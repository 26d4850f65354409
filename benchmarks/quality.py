"""Compare the accuracy of the three models after training on the same data, and how soon they reach it.

`python -m benchmarks.training --json runs/speed.json`, with nothing else running, and then
`python -m benchmarks.quality --data data/released --synthetic data/released/fonts-validation --speeds runs/speed.json
--workdir runs/quality` trains each model in its own folder and resumes where it was stopped. Seconds are computed from
the images seen and the speeds in `--speeds`, so other work may run at the same time; startup and validation are not
included.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.ablation import SHARES, run
from benchmarks.training import TRAINING
from trainer.config import experiments
from trainer.workdir import files

TARGETS = (0.80, 0.90, 0.95)
STEPS = {"compact": 2000, "five_heads": 2000, "svhn_rnn": 500}
IMAGES_BETWEEN_VALIDATIONS = 6_400
PHOTOS, SYNTHETIC = "sequence_accuracy/csv", "sequence_accuracy/synthetic-fonts"


def train(name: str, args: argparse.Namespace) -> str:
    folder, steps = str(args.workdir / name), args.steps[name]
    every = max(1, IMAGES_BETWEEN_VALIDATIONS // experiments.find(name).data.batch_size)
    settings = [f"data.shares={json.dumps(list(SHARES.values()), separators=(',', ':'))}", f"train.steps={steps}"]
    settings += [f"train.evaluate_every={every}", "train.log_every=20"]
    if name == "svhn_rnn":
        settings += ["model.image_at_every_step=true"]  # otherwise it shows no progress for days
    run(
        *("trainer.train", "--experiment", name, "--workdir", folder),
        *("--data", *(str(args.data / part) for part in SHARES)),
        *("--validation-data", str(args.data / "photos"), str(args.synthetic), "--set", *settings),
    )
    return folder


def soonest(folder: str, speed: float) -> dict[str, Any]:
    """Return the seconds to reach each accuracy on the synthetic images, and to reach the best on both."""
    batch = files.read_config(folder).data.batch_size
    rows = [row for row in files.read_metrics(folder) if row["kind"] == "validation"]
    reached: dict[str, float] = {}
    best = {"synthetic": -1.0, "photos": -1.0}
    for row in rows:
        seconds = row["step"] * batch / speed
        for target in TARGETS:
            if row[SYNTHETIC] >= target:
                reached.setdefault(f"synthetic {target:.0%}", seconds)
        for name, source in (("synthetic", SYNTHETIC), ("photos", PHOTOS)):
            if row[source] > best[name]:
                best[name] = row[source]
                reached[f"best {name}"] = seconds
    images = rows[-1]["step"] * batch
    return {"images": images, "seconds": images / speed, "reached": reached, "best": best}


def figures(folder: str, data: Path) -> dict[str, Any]:
    """Return the figures of the best checkpoint on one dataset."""
    run("trainer.evaluate", "--workdir", folder, "--data", str(data))
    return json.loads((Path(folder) / files.EVALUATION_FILE).read_text())


def measure(name: str, args: argparse.Namespace, speed: float) -> dict[str, Any]:
    folder = train(name, args)
    read = {"photos": figures(folder, args.data / "photos"), "synthetic": figures(folder, args.synthetic)}
    return {"model": name, **soonest(folder, speed), "figures": read}


def table(measured: list[dict[str, Any]]) -> str:
    names = [*(f"synthetic {target:.0%}" for target in TARGETS), "best synthetic", "best photos"]
    lines = ["| model | images | seconds | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for row in measured:
        cells = [f"{row['reached'][n]:,.0f} s" if n in row["reached"] else "not reached" for n in names]
        lines.append(f"| {row['model']} | {row['images']:,} | {row['seconds']:,.0f} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| model | images | correct | 95 % interval | coverage at 98 % | at 99 % | by length |",
        "|---" * 7 + "|",
    ]
    for row in measured:
        for data, read in row["figures"].items():
            low, high = read["interval_95"]
            lengths = (f"{k}: {v['sequence_accuracy']:.1%} of {v['examples']}" for k, v in read["by_length"].items())
            lines.append(
                f"| {row['model']} | {data} | {read['sequence_accuracy']:.1%} | {low:.1%} to {high:.1%} | "
                f"{read['coverage_98']:.1%} | {read['coverage_99']:.1%} | {', '.join(lengths)} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="datasets prepared by `make release`")
    parser.add_argument("--synthetic", type=Path, required=True, help="a synthetic dataset with a validation split")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--steps", type=json.loads, default=STEPS, help="training steps of each model, as JSON")
    parser.add_argument("--speeds", type=Path, required=True, help="the figures of benchmarks.training --json")
    args = parser.parse_args()
    speeds = {row.name: row.median for row in rows.read(args.speeds)}
    done = [measure(name, args, speeds[f"{name}: {TRAINING}"]) for name in args.steps]
    (args.workdir / "quality.json").write_text(json.dumps(done, indent=2) + "\n")
    print(table(done))


if __name__ == "__main__":
    main()
