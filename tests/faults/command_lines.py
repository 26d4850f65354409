"""A sound command line for each command: tests replace one argument of it by something bad."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SMALL_RUN = ["train.steps=4", "train.log_every=2", "train.checkpoint_every=2", "train.evaluate_every=4"]
SMALL_RUN += ["tensorboard.scalars=false", "tensorboard.images=false"]

# WORLD is the folder of the fixture, NEW a folder of the test's own.
SOUND: dict[str, list[str]] = {
    "trainer.train": ["--experiment", "smoke", "--data", "WORLD/synthetic", "--validation-data", "WORLD/prepared",
                      "--workdir", "NEW/out", "--set", *SMALL_RUN],
    "trainer.finetune": ["WORLD/pictures", "--workdir", "NEW/out", "--model", "WORLD/model", "--experiment", "smoke",
                         "--steps", "2"],
    "trainer.evaluate": ["--workdir", "WORLD/run", "--data", "WORLD/prepared"],
    "trainer.export": ["--workdir", "WORLD/run", "--output", "NEW/out"],
    "trainer.predict": ["--model", "WORLD/model", "WORLD/picture.png"],
    "trainer.report": ["--workdir", "WORLD/run", "--predictions", "WORLD/predictions", "--output", "NEW/out"],
    "trainer.review": ["WORLD/predictions", "--answers", "NEW/answers", "--export", "NEW/out"],
    "trainer.search": ["--experiment", "smoke", "--data", "WORLD/synthetic", "--validation-data", "WORLD/prepared",
                       "--workdir", "NEW/out", "--random", "seed=int:3:3", "--set", *SMALL_RUN],
    "trainer.cluster": ["--workers", "1", "--restarts", "0", "--", "--experiment", "smoke",
                        "--data", "WORLD/synthetic", "--workdir", "NEW/out", "--set", *SMALL_RUN],
    "beam_pipelines.prepare": ["--format", "csv", "--input", "WORLD/pictures", "--num-shards", "2",
                               "--output", "NEW/out"],
    "beam_pipelines.synthesize": ["--count", "6", "--num-shards", "2", "--output", "NEW/out"],
    "beam_pipelines.score": ["--model", "WORLD/model", "--input", "WORLD/pictures", "--num-shards", "2",
                             "--output", "NEW/out"],
    "beam_pipelines.inspect": ["WORLD/synthetic"],
    # Nobody listens on port 9; nothing is downloaded.
    "beam_pipelines.download": ["--format", "2", "--part", "test", "--url", "http://127.0.0.1:9",
                                "--output", "NEW/out"],
    "beam_pipelines.draw": ["--count", "3", "--output", "NEW/out"],
    # It would go on for ever, but there is no such model.
    "trainer.serve": ["--port", "0", "--model", "m=WORLD/nowhere"],
    "k8s.submit": ["--overlay", "local", "--dry-run"],
}  # fmt: skip


# These start processes that import everything again, which takes seconds.
SPAWNING = ("trainer.search", "trainer.cluster")


def modules(*names: str) -> list[Any]:
    """Commands as parameters, all unless some are named; those that start processes are slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in SPAWNING else name for name in names or SOUND]


def rows(table: Sequence[tuple]) -> list[Any]:
    """Rows that begin with a command as parameters; those of commands that start processes are slow."""
    return [pytest.param(*row, marks=pytest.mark.slow) if row[0] in SPAWNING else row for row in table]


def command_line(module: str, *, world: Path, new: Path, **replaced: object) -> list[str]:
    """A sound command line with some values replaced: `output=...` that of `--output`, `first=`, `last=...` a word."""
    words = list(SOUND[module])
    for name, value in replaced.items():
        if name in ("first", "last"):
            words[0 if name == "first" else -1] = str(value)
            continue
        flag = f"--{name.replace('_', '-')}"
        if flag not in words:
            words[words.index("--") if "--" in words else len(words) :] = [flag, str(value)]
        else:
            words[words.index(flag) + 1] = str(value)
    return [word.replace("WORLD", str(world)).replace("NEW", str(new)) for word in words]
