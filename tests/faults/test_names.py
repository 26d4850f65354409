"""Names that shells, terminals and patterns trip over: of inputs, outputs, members, the working folder."""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.faults.command_lines import command_line
from tests.faults.table import check
from tests.forking import Commands

NAMES = {
    "brackets": "a [2024]",
    "star": "a * b",
    "question": "a?",
    "hash": "a#b",
    "spaces": "  a b  ",
    "newline": "a\nb",
    "escape": "a\x1b[31mb\x07",
    "latin-1": os.fsdecode(b"lat\xe9n"),
    "dash": "-a",
    "equals": "--output=x",
    "percent": "%s{0}%41",
    "quote": "'\"$(touch x)`",
    "long": "x" * 250,
    "unicode": "数字\u202e",
    "comma": "a,b",
    "at": "@a",
}
EACH_NAME = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


@EACH_NAME
@pytest.mark.parametrize("module", [f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score", "draw")])
def test_an_output_of_any_name_is_written(commands: Commands, world: Path, place: Path, module: str, name: str) -> None:
    out = place / name
    args = command_line(module, world=world, new=place, output=out)
    check(commands, module, *args, watched=(world,), statuses=(0,), cwd=place)
    assert os.listdir(place) == [name]
    again = (
        check(commands, module, *args, watched=(world, place), statuses=(0,), cwd=place)
        if "draw" not in module
        else None
    )
    assert again is None or "complete" in again.out


@EACH_NAME
def test_images_of_any_name_are_read(commands: Commands, world: Path, place: Path, name: str) -> None:
    """In a folder of that name, as a file of that name, and in a list."""
    folder = place / name / "images"
    folder.mkdir(parents=True)
    image = folder / (f"{name[:240]}.png")
    shutil.copy(world / "picture.png", image)
    out = place / "out"
    args = command_line("beam_pipelines.score", world=world, new=place, input=place / name)
    check(commands, "beam_pipelines.score", *args, watched=(world, folder), statuses=(0,), cwd=place)
    summary = json.loads((out / "_summary.json").read_text())
    assert (summary["rows"], summary["images"]) == (1, 1)
    shutil.rmtree(out)
    args = command_line("beam_pipelines.score", world=world, new=place, input=image)
    check(commands, "beam_pipelines.score", *args, watched=(world, folder), statuses=(0,), cwd=place)
    assert json.loads((out / "_summary.json").read_text())["rows"] == 1


@EACH_NAME
def test_prepare_reads_a_folder_and_files_of_any_name(commands: Commands, world: Path, place: Path, name: str) -> None:
    folder = place / name / "images"
    folder.mkdir(parents=True)
    shutil.copy(world / "picture.png", folder / f"{name[:240]}.png")
    quoted = '"{}"'.format(f"{name[:240]}.png".replace('"', '""'))
    (place / name / "labels.csv").write_bytes(os.fsencode(f"file,label\n{quoted},12\n"))
    args = command_line("beam_pipelines.prepare", world=world, new=place, input=place / name)
    statuses = (0,) if name.isprintable() or name == NAMES["newline"] or name == NAMES["escape"] else (0, 2)
    check(commands, "beam_pipelines.prepare", *args, watched=(world, folder), statuses=statuses, cwd=place)


def test_predict_reads_images_of_any_name(commands: Commands, world: Path, place: Path) -> None:
    paths = [place / f"{name[:240]}.png" for name in NAMES.values()]
    for path in paths:
        shutil.copy(world / "picture.png", path)
    args = command_line("trainer.predict", world=world, new=place)
    ended = check(commands, "trainer.predict", *args, *paths, watched=(world, place), statuses=(0,))
    assert ended.out.count("confidence") == len(paths) + 1


def test_members_of_any_name_are_read_or_named(commands: Commands, world: Path, place: Path) -> None:
    data = (world / "picture.png").read_bytes()
    with tarfile.open(place / "in.tar", "w") as archive:
        for name in (*NAMES.values(), "/absolute", "../above", "a//b", "./a"):
            member = tarfile.TarInfo(f"{name}.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    args = command_line("beam_pipelines.score", world=world, new=place, input=place / "in.tar")
    check(commands, "beam_pipelines.score", *args, watched=(world,), statuses=(0,))
    summary = json.loads((place / "out" / "_summary.json").read_text())
    assert summary["images"] == len(NAMES) + 4 == summary["rows"] + sum(summary["rejects"].values())


@EACH_NAME
def test_commands_run_in_a_folder_of_any_name(commands: Commands, world: Path, place: Path, name: str) -> None:
    here = place / name
    shutil.copytree(world / "pictures", here / "pictures")
    for module in ("beam_pipelines.prepare", "beam_pipelines.score"):
        args = command_line(module, world=world, new=Path("."), input="pictures", output=f"out-{module}")
        check(commands, module, *args, watched=(world, here / "pictures"), statuses=(0,), cwd=here)


@EACH_NAME
def test_an_error_that_names_it_is_still_one_line(commands: Commands, world: Path, place: Path, name: str) -> None:
    for module, argument in (
        ("trainer.train", "data"),
        ("trainer.evaluate", "workdir"),
        ("trainer.export", "workdir"),
        ("trainer.report", "workdir"),
        ("beam_pipelines.prepare", "input"),
        ("beam_pipelines.score", "input"),
        ("beam_pipelines.score", "model"),
        ("beam_pipelines.synthesize", "lengths"),
        ("beam_pipelines.inspect", "last"),
    ):
        args = command_line(module, world=world, new=place, **{argument: place / name})
        check(commands, module, *args, watched=(world, place), cwd=place)
