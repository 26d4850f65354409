"""Draw synthetic numbers as image files with a `labels.csv`, as users store their own images: see `--help`."""

import argparse
import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from beam_pipelines.sharding.outputs import LOCK_FILE
from beam_pipelines.synthesis import given_texts, typefaces
from beam_pipelines.synthesis.fonts import Fonts
from beam_pipelines.synthesis.scenes.scene import Scenes
from trainer.cli import UserError
from trainer.data.labels.box_columns import CORNERS
from trainer.files.lock import Lock

LABELS, HEADER = "labels.csv", ["file", "label"]
EMPTY = 0.2  # share of scenes without a number
NAME = re.compile(r"(\d+)-(\d{6,})\.png")  # seed and index
# Seeds and counts of runs whose images may exist although no labels name them; the next run removes these images.
UNFINISHED = "labels.csv.unfinished"
NEW_LABELS, NEW_IMAGE = "labels.csv.new", "image.png.new"
Drawing = tuple[Image.Image, list[list[Any]]]  # an image, and for each number its row in the labels, without the file


def run(args: argparse.Namespace) -> None:
    """Draw the images that the command line asks for."""
    args.alphabet = None  # then that of the texts, else digits
    header, draw = _artist(args)
    folder = Path(args.output)
    _check_ours(folder)  # before anything is written, the lock file included
    with Lock(str(folder / LOCK_FILE), None) as lock:
        _write(folder, args.seed, args.count, header, draw, lock)
    print(f"drew {args.count} images; their labels are in {folder / LABELS}")


def _write(folder: Path, seed: int, count: int, header: list[str], draw: Callable[[int], Drawing], lock: Lock) -> None:
    """Draw the images and their labels, replacing those of earlier runs."""
    drawn_before = _check_ours(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / UNFINISHED).open("a", encoding="utf-8") as file:
        file.writelines(f"{one},{most}\n" for one, most in [*drawn_before.items(), (seed, count)])
    if str(seed) in drawn_before:  # images that the labels name are about to be replaced
        (folder / LABELS).unlink()
    rows = []
    for index in range(count):
        (image, labels), name = draw(index), f"{seed}-{index:06d}.png"
        image.save(folder / NEW_IMAGE, "PNG")  # then renamed: the former image may have other hard links
        (folder / NEW_IMAGE).replace(folder / "images" / name)
        rows += [[name, *label] for label in labels]
    with (folder / NEW_LABELS).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    lock.check()
    (folder / NEW_LABELS).replace(folder / LABELS)
    _remove_unlabelled(folder)
    (folder / UNFINISHED).unlink()


def _artist(args: argparse.Namespace) -> tuple[list[str], Callable[[int], Drawing]]:
    """Return the header of the labels, and the function that draws an image by its index."""
    lengths = "house" if args.scenes else "uniform"
    numbers = given_texts.of(args, lengths=lengths, digits="uniform")
    typefaces.check(numbers.characters)
    if not args.scenes:
        fonts = Fonts(args.seed, numbers)

        def number(index: int) -> Drawing:
            made = fonts(index)
            return made.image, [[made.text]]

        return HEADER, number

    scenes = Scenes(args.seed, numbers, args.scenes, EMPTY)

    def scene(index: int) -> Drawing:
        made = scenes(index)
        corners = [np.array(number.corners).reshape(4, 2) * made.image.size for number in made.numbers]
        labels = [[n.text, *c.round(1).ravel().tolist()] for n, c in zip(made.numbers, corners, strict=True)]
        return made.image, labels or [[""] * (1 + len(CORNERS))]

    return [*HEADER, *CORNERS], scene


def _check_ours(folder: Path) -> dict[str, int]:
    """Check that a folder holds only what this command wrote: labels.csv, the images that it names, an unfinished run.

    Returns:
      By seed, a count of images that includes all those in the labels.
    Raises:
      UserError: it holds anything else.
    """
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise UserError(f"--output {folder} is not a folder: choose another --output")
    labelled, unfinished = _labelled(folder / LABELS), _unfinished(folder / UNFINISHED)
    ours = {"images", LOCK_FILE} | {f"images/{name}" for name in labelled or ()}
    ours |= {LABELS} if labelled is not None else set()
    ours |= {UNFINISHED, NEW_LABELS, NEW_IMAGE} if unfinished is not None else set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        is_plain = path.is_dir() if name == "images" else path.is_file()
        if path.is_symlink() or not is_plain or not (name in ours or _is_of(name, unfinished or {})):
            raise UserError(f"{folder} holds {name}, which this command did not write: choose another --output")
    names = [NAME.fullmatch(name) for name in labelled or ()]
    return _largest((name[1], int(name[2]) + 1) for name in names if name)


def _remove_unlabelled(folder: Path) -> None:
    """Remove the images that earlier runs drew and that the labels no longer name."""
    labelled, unfinished = _labelled(folder / LABELS) or set(), _unfinished(folder / UNFINISHED) or {}
    for path in (folder / "images").iterdir():
        if path.name not in labelled and _is_of(f"images/{path.name}", unfinished):
            path.unlink()


def _labelled(path: Path) -> set[str] | None:
    """Return the images that a labels file names, None unless this command wrote it."""
    if not path.is_file() or path.is_symlink():
        return None
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    if header not in (HEADER, [*HEADER, *CORNERS]):
        return None
    if not all(len(row) == len(header) and NAME.fullmatch(row[0]) for row in rows):
        return None
    return {row[0] for row in rows}


def _unfinished(path: Path) -> dict[str, int] | None:
    """Return the largest count of the unfinished runs by seed, None unless this command wrote the file."""
    if not path.is_file() or path.is_symlink():
        return None
    runs = [re.fullmatch(r"(\d+),(\d+)", line) for line in path.read_text("utf-8", "replace").splitlines()]
    if not all(runs):
        return None
    return _largest((run[1], int(run[2])) for run in runs if run)


def _largest(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the largest of the counts of each seed."""
    largest: dict[str, int] = {}
    for seed, count in counts:
        largest[seed] = max(count, largest.get(seed, 0))
    return largest


def _is_of(name: str, unfinished: dict[str, int]) -> bool:
    """Return whether a file belongs to an unfinished run, which has drawn it or would have."""
    parts = NAME.fullmatch(name.removeprefix("images/")) if name.startswith("images/") else None
    return parts is not None and int(parts[2]) < unfinished.get(parts[1], 0)
