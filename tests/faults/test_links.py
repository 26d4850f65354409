"""Files of somebody else under names that we use: locks, and links in place of descriptions."""

import os
from pathlib import Path

import pytest

from tests.faults.command_lines import command_line
from tests.faults.table import check
from tests.forking import Commands


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("trainer.train", "chief.json"),
        ("beam_pipelines.synthesize", ".svhn-lock"),
        ("beam_pipelines.draw", ".svhn-lock"),
    ],
)
def test_a_strangers_file_with_the_name_of_a_lock_stays(
    commands: Commands, world: Path, place: Path, module: str, name: str
) -> None:
    (place / "out").mkdir()
    (place / "out" / name).write_text("years of work\n")
    (place / "theirs").hardlink_to(place / "out" / name)
    args = command_line(module, world=world, new=place)
    check(commands, module, *args, watched=(world, place), says="is not a lock file of this program")


@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=["plain", "overwrite"])
@pytest.mark.parametrize("kind", ["dangling", "pipe", "link"])
@pytest.mark.parametrize("name", [".svhn-output.json", "_summary.json"])
def test_a_description_that_cannot_be_read_is_not_ours(
    commands: Commands, world: Path, copied: Path, place: Path, name: str, kind: str, more: list[str]
) -> None:
    path = copied / "predictions" / name
    path.rename(place / "theirs")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(place / ("nowhere" if kind == "dangling" else "theirs"))
    args = command_line("beam_pipelines.score", world=copied, new=copied, output=copied / "predictions")
    says = f"holds {name}, which this program did not write"
    check(commands, "beam_pipelines.score", *args, *more, watched=(place,), says=says)
