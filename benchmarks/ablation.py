"""Ablations: the released recipe, shortened, with one thing changed at a time.

`python -m benchmarks.ablation --data data/released --workdir runs/ablation` trains each variant in its own folder and
resumes where it was stopped; the table is for the validation photos, and is also stored in `ablation.json`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainer.config import schema

REAL = ("photos", "format1-test", "format1-train")
ALL = (*REAL, "fonts", "crops")
SHARES = {"photos": 0.30, "format1-test": 0.25, "format1-train": 0.03, "fonts": 0.27, "crops": 0.15}
UNDISTORTED = (
    "distortion.colour=false",
    "distortion.rotate_degrees=0",
    "distortion.shear=0",
    "distortion.scale=[1,1]",
    "distortion.stretch=0",
    "distortion.shift=0",
    "distortion.perspective=0",
    "distortion.noise=0",
    "distortion.invert=0",
    "distortion.coarsen=0",
)
RECIPE = "the recipe"
# Name -> datasets and settings.
VARIANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    RECIPE: (ALL, ()),
    "no drawn numbers": ((*REAL, "crops"), ()),
    "no recombined digits": ((*REAL, "fonts"), ()),
    "real images only": (REAL, ()),
    "no whole photos": (ALL[1:], ()),
    "tight crops": (("photos", "tight-test", "tight-train", "fonts", "crops"), ()),
    "no attention (five_heads)": (ALL, ("model.name=five_heads", "model.strides=[2,2,2,2]", "decode.closer=false")),
    "coarse map": (ALL, ("model.strides=[2,2,2,2]",)),
    "no distortion": (ALL, UNDISTORTED),
    "no negatives": (ALL, ("distortion.invert=0",)),
    "no loss of detail": (ALL, ("distortion.coarsen=0",)),
    "no moving average": (ALL, ("optimizer.ema_decay=0",)),
    "no label smoothing": (ALL, ("optimizer.label_smoothing=0",)),
    "fine-tuned from drawn numbers": (ALL, ()),
}
# Name -> decode settings; these variants use the weights of the recipe.
READINGS: dict[str, tuple[str, ...]] = {
    "no closer look": ("decode.closer=false",),
    "one view": ("decode.views=[1.0]", "decode.closer=false"),
}


def run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", *command], check=True)


def share(dataset: str) -> float:
    return SHARES[dataset.replace("tight", "format1")]


def train(data: Path, workdir: Path, datasets: tuple[str, ...], settings: list[str], *extra: str) -> None:
    shares = json.dumps([share(name) for name in datasets])
    folders = [str(data / name) for name in datasets]
    run(
        *("trainer.train", "--experiment", "released", "--workdir", str(workdir), "--data", *folders),
        *("--validation-data", str(data / "photos"), *extra, "--set", f"data.shares={shares}", *settings),
    )


def train_variant(name: str, data: Path, workdir: Path, steps: int, common: list[str]) -> None:
    datasets, settings = VARIANTS[name]
    own = [f"train.steps={steps}", *common, *settings]
    extra: tuple[str, ...] = ()
    if name.startswith("fine-tuned"):
        first = workdir / "drawn-numbers-alone"
        own[0] = f"train.steps={steps // 2}"
        train(data, first, ("fonts",), own)
        extra = ("--init-from", str(first))
    train(data, workdir / folder_name(name), datasets, own, *extra)


def read_otherwise(name: str, workdir: Path) -> None:
    """Create a work folder with the weights of the recipe and other decode settings."""
    folder = workdir / folder_name(name)
    shutil.copytree(workdir / folder_name(RECIPE), folder, ignore=shutil.ignore_patterns("evaluation.json"))
    stored = schema.from_json((folder / "config.json").read_text())
    (folder / "config.json").write_text(schema.override(stored, list(READINGS[name])).to_json())


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one variant, or load the figures of a finished one."""
    folder = args.workdir / folder_name(name)
    if not (folder / "evaluation.json").exists():
        if name in VARIANTS:
            train_variant(name, args.data, args.workdir, args.steps, args.set)
        elif not folder.exists():
            read_otherwise(name, args.workdir)
        run("trainer.evaluate", "--workdir", str(folder), "--data", str(args.data / "photos"))
    figures = json.loads((folder / "evaluation.json").read_text())
    return {"name": name, **{key: figures[key] for key in ("sequence_accuracy", "interval_95", "coverage_98")}}


def folder_name(variant: str) -> str:
    return variant.replace(" ", "-")


def main() -> None:
    names = [*VARIANTS, *READINGS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="datasets prepared by `make release`")
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"), help="raw data for the tight crops")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000, help="training steps per variant")
    parser.add_argument("--variants", nargs="+", choices=names, default=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings for all variants")
    args = parser.parse_args()
    for part in ("test", "train"):
        run(
            *("beam_pipelines.prepare", "--format", "digitstruct", "--input", str(args.shared / "format1" / part)),
            *("--crop", "tight", "--split", "train", "--output", str(args.data / f"tight-{part}")),
        )
    rows = []
    for name in dict.fromkeys([RECIPE, *args.variants]):
        rows.append(measure(name, args))
        found = {"steps": args.steps, "set": args.set, "rows": rows}
        (args.workdir / "ablation.json").write_text(json.dumps(found, indent=2) + "\n")
    base = rows[0]["sequence_accuracy"]
    print("| variant | numbers fully correct | 95 % interval | vs. the recipe, points |\n|---|---|---|---|")
    for row in rows:
        accuracy, (low, high) = row["sequence_accuracy"], row["interval_95"]
        print(f"| {row['name']} | {accuracy:.1%} | {low:.1%} to {high:.1%} | {100 * (accuracy - base):+.1f} |")


if __name__ == "__main__":
    main()
