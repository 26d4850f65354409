"""Photos to score: drawn numbers, and files that are not images although their names say so."""

from collections.abc import Callable
from pathlib import Path

from beam_pipelines import draw, score


def write(folder: Path, count: int, *broken: str) -> Path:
    """Draw `count` numbers, and write files of these names beside them; return the folder of all."""
    assert draw.main(["--count", str(count), "--seed", "4", "--output", str(folder)]) == 0
    for name in broken:
        (folder / "images" / name).write_bytes(b"no image")
    return folder / "images"


def scorer(photos: Path, model: Path) -> Callable[..., int]:
    """Return a function that scores the photos into an output, in two files, with further options."""

    def run_score(output: Path, *options: str) -> int:
        args = ["--model", str(model), "--input", str(photos), "--num-shards", "2", "--output", str(output)]
        return score.main([*args, *options])

    return run_score
