"""Each kind of file that we read, damaged: of 0 bytes, cut, text, of another kind, a pipe, an endless device."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.command_lines import command_line
from tests.faults.table import check
from tests.forking import Commands

ANY = (0, 2)
GIGABYTE = 1 << 30


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text(path: Path) -> None:
    path.write_text("I am not what you think\n")


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(128, 256)) * 20)


def another_object(path: Path) -> None:
    path.write_text('{"what": "ever"}\n')


def a_list(path: Path) -> None:
    path.write_text("[1, 2]\n")


def other_types(path: Path) -> None:
    """All keys, but every value is an object."""
    texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    path.write_text("".join(json.dumps({key: {} for key in json.loads(text)}) + "\n" for text in texts))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


Damages = list[Callable[[Path], None]]
JSON: Damages = [zero_bytes, half, noise, another_object, a_list, other_types, folder]
BINARY: Damages = [zero_bytes, half, text, folder, pipe]

# A command, what it reads, by a pattern in the world, the damages, and the statuses it may end with.
Row = tuple[str, dict[str, str], str, Damages, tuple[int, ...]]
TABLE: list[Row] = [
    ("trainer.train", {}, "synthetic/dataset_info.json", JSON, (2,)),
    ("trainer.train", {}, "synthetic/train.tfrecord-00001-of-00002", BINARY, (2,)),
    ("trainer.train", {"workdir": "WORLD/run"}, "run/config.json", JSON, ANY),  # which it writes again
    ("trainer.train", {"workdir": "WORLD/run"}, "run/checkpoints/checkpoint", [zero_bytes, noise], ANY),
    ("trainer.train", {"workdir": "WORLD/run"}, "run/FINISHED", [zero_bytes, another_object], ANY),
    ("trainer.train", {"init_from": "WORLD/run"}, "run/config.json", [zero_bytes], ANY),
    ("trainer.train", {"init_from": "WORLD/model"}, "model/saved_model.pb", [zero_bytes, text], ANY),
    ("trainer.evaluate", {}, "run/config.json", JSON, (2,)),
    ("trainer.evaluate", {}, "prepared/dataset_info.json", [zero_bytes, another_object], (2,)),
    ("trainer.evaluate", {}, "prepared/validation.tfrecord-00001-of-00008", [zero_bytes, half, text, pipe], (2,)),
    ("trainer.evaluate", {}, "run/checkpoints/*.index", [zero_bytes, noise], ANY),
    ("trainer.evaluate", {}, "run/best/*.index", [zero_bytes, noise], ANY),
    ("trainer.export", {}, "run/config.json", [zero_bytes, a_list], (2,)),
    ("trainer.export", {}, "run/calibration.json", JSON, (2,)),
    ("trainer.predict", {}, "model/saved_model.pb", BINARY, (2,)),
    ("trainer.predict", {}, "model/assets/model_info.json", JSON, (2,)),
    ("trainer.predict", {}, "model/variables/variables.index", [zero_bytes, text], (2,)),
    ("trainer.predict", {"model": "WORLD/run"}, "run/config.json", JSON, (2,)),
    ("trainer.predict", {"model": "WORLD/run"}, "run/best/*.index", [zero_bytes, noise], ANY),
    ("trainer.finetune", {}, "pictures/labels.csv", [zero_bytes, noise, text, another_object, folder, pipe], (2,)),
    ("trainer.report", {}, "run/config.json", JSON, (2,)),
    ("trainer.report", {}, "run/metrics.jsonl", [zero_bytes, half, noise, another_object, a_list, other_types], ANY),
    ("trainer.report", {}, "run/evaluation.json", JSON, ANY),
    ("trainer.report", {}, "run/answers.jsonl", [zero_bytes, half, noise, a_list, other_types], ANY),
    ("trainer.report", {}, "predictions/_summary.json", JSON, (2,)),
    ("trainer.report", {}, "predictions/predictions-00001-of-00002.jsonl", JSON, (2,)),
    ("trainer.report", {}, "prepared/dataset_info.json", [zero_bytes], ANY),
    ("beam_pipelines.prepare", {}, "pictures/labels.csv", [zero_bytes, noise, text, another_object], (2,)),
    ("beam_pipelines.prepare", {"output": "WORLD/prepared"}, "prepared/dataset_info.json", JSON, (2,)),
    ("beam_pipelines.synthesize", {"source": "crops", "records": "WORLD/synthetic"}, "synthetic/dataset_info.json",
     [zero_bytes], (2,)),
    ("beam_pipelines.synthesize", {"source": "crops", "records": "WORLD/synthetic"},
     "synthetic/train.tfrecord-00001-of-00002", BINARY, (2,)),
    ("beam_pipelines.synthesize", {"source": "regions", "records": "WORLD/synthetic"}, "synthetic/dataset_info.json",
     [zero_bytes], (2,)),
    ("beam_pipelines.synthesize", {"source": "regions", "records": "WORLD/synthetic"},
     "synthetic/train.tfrecord-00001-of-00002", BINARY, (2,)),
    ("beam_pipelines.score", {}, "model/assets/model_info.json", JSON, (2,)),
    ("beam_pipelines.score", {}, "model/saved_model.pb", [zero_bytes, text], (2,)),
    ("beam_pipelines.score", {}, "model/variables/variables.index", [zero_bytes], (2,)),
    ("beam_pipelines.score", {"output": "WORLD/predictions"}, "predictions/_summary.json", JSON, (2,)),
    ("beam_pipelines.inspect", {}, "synthetic/dataset_info.json", JSON, (2,)),
    ("beam_pipelines.inspect", {}, "synthetic/train.tfrecord-00001-of-00002", BINARY, (2,)),
]  # fmt: skip
CASES = [
    pytest.param(module, replaced, pattern, damage, statuses, id=f"{module}-{pattern}-{damage.__name__}")
    for module, replaced, pattern, damages, statuses in TABLE
    for damage in damages
]
WRITES = {"trainer.evaluate": ("evaluation.json", "answers.jsonl"), "trainer.report": ("out",)}


@pytest.mark.parametrize(("module", "replaced", "pattern", "damage", "statuses"), CASES)
def test_a_damaged_file_is_one_line(
    commands: Commands, copied: Path, module: str, replaced: dict, pattern: str, damage: Callable, statuses: tuple
) -> None:
    found = sorted(copied.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} is written any more")
    for path in found:
        damage(path)
    args = command_line(module, world=copied, new=copied, **replaced)
    watched = () if 0 in statuses else (copied,)
    ended = check(commands, module, *args, watched=watched, statuses=statuses)
    if ended.status != 0:
        said = [line for line in ended.err.splitlines() if "error:" in line]
        assert said, ended.err
        names = [path.name for path in found] + [path.parent.name for path in found]
        assert any(name in line for name in names for line in said), f"the file is not named: {said}"


@pytest.mark.parametrize("damage", [zero_bytes, half, text, noise, another_object, folder, pipe])
@pytest.mark.parametrize(
    ("file_format", "name"), [("digitstruct", "digitStruct.mat"), ("cropped32", "train_32x32.mat")]
)
def test_a_mat_file_that_is_none(
    commands: Commands, place: Path, world: Path, file_format: str, name: str, damage: Callable
) -> None:
    path = place / name
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(1000))
    damage(path)
    args = command_line("beam_pipelines.prepare", world=world, new=place, format=file_format, input=path)
    check(commands, "beam_pipelines.prepare", *args, watched=(place, world))


def tar_of(members: dict[str, int]) -> bytes:
    import tarfile

    blocks = b""
    for name, size in members.items():
        member = tarfile.TarInfo(name)
        member.size = size
        blocks += member.tobuf()
    return blocks


ODD_INPUTS: dict[str, bytes] = {
    "text.png": b"I am not an image",
    "empty.png": b"",
    "noise.jpg": bytes(range(256)) * 9,
    "empty.tar": b"",
    "text.tar": b"I am not an archive",
    "claim.tar": tar_of({"1.png": 10**13 // 2**10}),
    "empty.tfrecord": b"",
    "huge.tfrecord": b"\xff" * 7 + b"\x7f" + b"\0" * 100,
    "text.tfrecord": b"I am not a record",
    "list.txt": b"nowhere.png\n",
    "empty.txt": b"",
    "zip.tar": b"PK\x03\x04" + bytes(60),
    "packed.tfrecord": b"\x1f\x8b\x08\x00" + bytes(60),
}


@pytest.mark.parametrize("name", ODD_INPUTS)
def test_an_input_of_score_that_is_not_what_its_ending_says(
    commands: Commands, world: Path, place: Path, name: str
) -> None:
    """A named file that is not an image is refused; of others, each thing found in them may be counted as a reject."""
    (place / name).write_bytes(ODD_INPUTS[name])
    args = command_line("beam_pipelines.score", world=world, new=place, input=place / name)
    statuses = (2,) if name.endswith((".png", ".jpg")) else ANY
    watched = (place / name, world)
    check(commands, "beam_pipelines.score", *args, watched=watched, statuses=statuses, memory=8 * GIGABYTE)
    if (place / "out" / "_COMPLETED").exists():
        summary = json.loads((place / "out" / "_summary.json").read_text())
        assert summary["rows"] == 0
        assert summary["images"] == sum(summary["rejects"].values()) > 0


def special(place: Path) -> None:
    """Names of images that are none, and on which a reader would wait, or never end."""
    import socket

    os.mkfifo(place / "pipe.png")
    (place / "zero.png").symlink_to("/dev/zero")
    (place / "a.png").symlink_to("b.png")
    (place / "b.png").symlink_to("a.png")
    (place / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / "socket.png"))


def test_special_files_among_images_are_rejected(
    commands: Commands, world: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "in").mkdir()
    monkeypatch.chdir(place / "in")  # the names of sockets may not be long
    special(Path())
    (place / "in" / "1.png").write_bytes((world / "picture.png").read_bytes())
    args = command_line("beam_pipelines.score", world=world, new=place, input=place / "in")
    check(commands, "beam_pipelines.score", *args, watched=(place / "in", world), statuses=(0,), memory=8 * GIGABYTE)
    summary = json.loads((place / "out" / "_summary.json").read_text())
    assert summary["rows"] == 1
    assert sum(summary["rejects"].values()) + 1 == summary["images"]
    rejected = (place / "out" / "_rejects.jsonl").read_text()
    assert all(name in rejected for name in ("pipe.png", "zero.png", "a.png", "b.png", "socket.png"))


def test_special_files_named_by_a_csv_file_are_rejected(
    commands: Commands, world: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "in" / "images").mkdir(parents=True)
    monkeypatch.chdir(place / "in" / "images")
    special(Path())
    (place / "in" / "images" / "1.png").write_bytes((world / "picture.png").read_bytes())
    names = ["1", "pipe", "zero", "a", "folder", "socket", "nowhere"]
    (place / "in" / "labels.csv").write_text("file,label\n" + "".join(f"{name}.png,12\n" for name in names))
    args = command_line("beam_pipelines.prepare", world=world, new=place, input=place / "in")
    watched = (place / "in", world)
    check(commands, "beam_pipelines.prepare", *args, watched=watched, statuses=(0,), memory=8 * GIGABYTE)
    info = json.loads((place / "out" / "dataset_info.json").read_text())
    assert info["records_in"] == 7
    assert sum(info["rejects"].values()) == 6
