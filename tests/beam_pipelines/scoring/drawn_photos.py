"""Photos to score: drawn numbers, and files that are not images although their names say so."""

from pathlib import Path

from beam_pipelines import draw


def write(folder: Path, count: int, *broken: str) -> Path:
    """Draw `count` numbers, and write files of these names beside them; return the folder of all."""
    assert draw.main(["--count", str(count), "--seed", "4", "--output", str(folder)]) == 0
    for name in broken:
        (folder / "images" / name).write_bytes(b"no image")
    return folder / "images"
