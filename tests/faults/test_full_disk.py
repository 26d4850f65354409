"""Disks that are full or read-only, and an output that nobody reads: real file systems, where they may be mounted."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.command_lines import command_line, rows
from tests.faults.table import check
from tests.forking import Commands

FINAL = ("COMPLETED", "_COMPLETED", "saved_model.pb", "FINISHED")


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mounts at a folder; skips the test where that is not permitted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    if not shutil.which("mount"):
        pytest.skip("there is no mount command")
    with mounted(place / "disk", "-t", "tmpfs", "-o", "size=1m", "none") as disk:
        yield disk


@pytest.fixture
def read_only(place: Path) -> Iterator[Path]:
    if not shutil.which("mount"):
        pytest.skip("there is no mount command")
    with mounted(place / "disk", "-t", "tmpfs", "-o", "size=1m,ro", "none") as disk:
        yield disk


def fill(disk: Path, *, leave: int) -> None:
    """Leaves so many bytes free."""
    with contextlib.suppress(OSError), (disk / "theirs").open("wb") as file:
        while shutil.disk_usage(disk).free > leave:
            file.write(bytes(4096))
            file.flush()


WRITERS = [
    ("trainer.train", {"workdir": "out"}),
    ("trainer.finetune", {"workdir": "out"}),
    ("trainer.export", {"output": "out"}),
    ("trainer.report", {"output": "out.html"}),
    ("trainer.search", {"workdir": "out"}),
    ("trainer.predict", {"draw": "out.png"}),
    ("beam_pipelines.prepare", {"output": "out"}),
    ("beam_pipelines.synthesize", {"output": "out"}),
    ("beam_pipelines.synthesize", {"preview": "out.png"}),
    ("beam_pipelines.score", {"output": "out"}),
    ("beam_pipelines.inspect", {"sheet": "out.png"}),
    ("beam_pipelines.draw", {"output": "out"}),
]
EACH_WRITER = pytest.mark.parametrize(
    ("module", "written"), rows(WRITERS), ids=lambda v: v if isinstance(v, str) else next(iter(v))
)


@pytest.mark.parametrize("free", [0, 16_384])
@EACH_WRITER
def test_a_full_disk_is_one_line(
    commands: Commands, world: Path, small_disk: Path, module: str, written: dict, free: int
) -> None:
    """Nothing that is left looks finished, and nothing that was there is touched."""
    fill(small_disk, leave=free)
    replaced = {name: small_disk / value for name, value in written.items()}
    args = command_line(module, world=world, new=small_disk, **replaced)
    statuses = (1, 2, 42) if module == "trainer.search" else (2, 42)
    check(commands, module, *args, watched=(world, small_disk), statuses=statuses, leaves=("/out",))
    assert not [path for name in FINAL for path in small_disk.glob(f"**/{name}")]


@pytest.mark.parametrize("free", [0, 16_384, 32_768])
def test_a_disk_that_fills_leaves_no_part_of_the_flat_file(
    commands: Commands, world: Path, small_disk: Path, free: int
) -> None:
    fill(small_disk, leave=free)
    args = command_line("beam_pipelines.score", world=world, new=small_disk, output=small_disk / "out.csv")
    watched = (world, small_disk)
    ended = check(commands, "beam_pipelines.score", *args, watched=watched, statuses=(0, 2, 42), leaves=("/out",))
    assert [path.name for path in small_disk.glob("out.csv*")] == (["out.csv"] if ended.status == 0 else [])


@EACH_WRITER
def test_a_read_only_disk_is_one_line(
    commands: Commands, world: Path, read_only: Path, module: str, written: dict
) -> None:
    replaced = {name: read_only / value for name, value in written.items()}
    args = command_line(module, world=world, new=read_only, **replaced)
    check(commands, module, *args, watched=(world, read_only))


@pytest.mark.parametrize("module", ["trainer.evaluate", "trainer.export"])
def test_a_read_only_work_folder_is_one_line(commands: Commands, copied: Path, module: str) -> None:
    with mounted(copied / "run", "--bind", "-o", "ro", str(copied / "run")) as run:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
        args = command_line(module, world=copied, new=copied)
        statuses = (0, 2) if module == "trainer.export" else (2,)
        check(commands, module, *args, watched=(copied / "run",), statuses=statuses)


PRINTERS = [
    ("trainer.predict", []),
    ("trainer.evaluate", []),
    ("beam_pipelines.inspect", []),
    ("beam_pipelines.synthesize", []),
    ("beam_pipelines.draw", []),
    ("k8s.submit", []),
    ("beam_pipelines.score", ["--help"]),
    ("trainer.train", ["--help"]),
]


@pytest.mark.parametrize(("module", "more"), PRINTERS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_output_that_is_full_is_one_line(commands: Commands, copied: Path, module: str, more: list[str]) -> None:
    """As in `command > /dev/full`."""
    args = command_line(module, world=copied, new=copied)
    check(commands, module, *args, *more, watched=(), statuses=(42,), stdout="/dev/full")
