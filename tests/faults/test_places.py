"""Files and folders that are missing, of the wrong kind, unwritable, somebody else's, or on no file system we know."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.command_lines import SOUND, command_line, rows
from tests.faults.table import check
from tests.forking import Commands
from trainer import svhn

# Each place that a command reads.
READ = [
    ("trainer.train", "data"),
    ("trainer.train", "validation_data"),
    ("trainer.train", "init_from"),
    ("trainer.finetune", "first"),
    ("trainer.finetune", "model"),
    ("trainer.evaluate", "workdir"),
    ("trainer.evaluate", "data"),
    ("trainer.export", "workdir"),
    ("trainer.predict", "model"),
    ("trainer.serve", "token_file"),
    ("trainer.report", "workdir"),
    ("trainer.report", "predictions"),
    ("trainer.search", "data"),
    ("trainer.search", "validation_data"),
    ("beam_pipelines.prepare", "input"),
    ("beam_pipelines.prepare", "images"),
    ("beam_pipelines.synthesize", "lengths"),
    ("beam_pipelines.synthesize", "digits"),
    ("beam_pipelines.synthesize", "texts"),
    ("beam_pipelines.draw", "texts"),
    ("beam_pipelines.score", "model"),
    ("beam_pipelines.score", "input"),
    ("beam_pipelines.inspect", "last"),
]
WRITTEN = [
    ("trainer.train", "workdir"),
    ("trainer.finetune", "workdir"),
    ("trainer.export", "output"),
    ("trainer.report", "output"),
    ("trainer.search", "workdir"),
    ("trainer.predict", "draw"),
    ("beam_pipelines.prepare", "output"),
    ("beam_pipelines.synthesize", "output"),
    ("beam_pipelines.synthesize", "preview"),
    ("beam_pipelines.score", "output"),
    ("beam_pipelines.inspect", "sheet"),
    ("beam_pipelines.download", "output"),
    ("beam_pipelines.draw", "output"),
]
SCHEMES = ["s3", "https", "foo"]
TWO_INPUTS = [  # the same of prepare's other formats, and of synthesize's other sources
    ("beam_pipelines.prepare", {"format": "digitstruct"}, "input"),
    ("beam_pipelines.prepare", {"format": "cropped32"}, "input"),
    ("beam_pipelines.synthesize", {"source": "mnist"}, "mnist"),
    ("beam_pipelines.synthesize", {"source": "crops"}, "records"),
    ("beam_pipelines.synthesize", {"source": "regions"}, "records"),
]


def nothing(place: Path) -> Path:
    return place / "nowhere"


def below_a_file(place: Path) -> Path:
    (place / "file").write_text("mine")
    return place / "file" / "below"


def text_file(place: Path) -> Path:
    """Make a file of text that none of the commands takes: a tab cannot be drawn."""
    (place / "file").write_text("I am not\twhat you think\n")
    return place / "file"


def empty_file(place: Path) -> Path:
    (place / "file").touch()
    return place / "file"


def empty_folder(place: Path) -> Path:
    (place / "folder").mkdir()
    return place / "folder"


def folder_of_strangers(place: Path) -> Path:
    (place / "folder").mkdir()
    (place / "folder" / "thesis.txt").write_text("mine")
    (place / "folder" / "below").mkdir()
    return place / "folder"


def endless_link(place: Path) -> Path:
    (place / "a").symlink_to(place / "b")
    (place / "b").symlink_to(place / "a")
    return place / "a"


def dangling_link(place: Path) -> Path:
    (place / "a").symlink_to(place / "nowhere")
    return place / "a"


def long_name(place: Path) -> Path:
    return place / ("x" * 300)


def pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def device(place: Path) -> Path:
    (place / "zero").symlink_to("/dev/zero")
    return place / "zero"


BAD_TO_READ: list[Callable[[Path], Path]] = [nothing, below_a_file, text_file, empty_file, empty_folder]
BAD_TO_READ += [folder_of_strangers, endless_link, dangling_link, long_name, pipe, device]


@pytest.mark.parametrize("make", BAD_TO_READ, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("module", "argument"), rows(READ))
def test_what_is_read_is_no_such_thing(
    commands: Commands, world: Path, place: Path, module: str, argument: str, make: Callable[[Path], Path]
) -> None:
    bad = make(place)
    args = command_line(module, world=world, new=place, **{argument: bad})
    check(commands, module, *args, watched=(world, place))


@pytest.mark.parametrize("make", BAD_TO_READ, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("module", "more", "argument"), TWO_INPUTS)
def test_another_input_is_no_such_thing(
    commands: Commands, world: Path, place: Path, module: str, more: dict, argument: str, make: Callable[[Path], Path]
) -> None:
    args = command_line(module, world=world, new=place, **more, **{argument: make(place)})
    check(commands, module, *args, watched=(world, place))


@pytest.mark.parametrize("make", BAD_TO_READ, ids=lambda make: make.__name__)
def test_a_folder_to_evaluate_is_no_such_thing(
    commands: Commands, world: Path, place: Path, make: Callable[[Path], Path]
) -> None:
    """Nor one whose list of labels is no such thing."""
    bad = make(place)
    (place / "listed").mkdir()
    if make is not long_name:
        (place / "listed" / "labels.csv").symlink_to(bad)
    for folder in (bad, place / "listed"):
        check(commands, "trainer.evaluate", folder, "--model", world / "model", watched=(world, place))


def test_predict_names_each_file_that_is_none(commands: Commands, world: Path, place: Path) -> None:
    """All at once, since loading the model is what takes time."""
    bad = []
    for make in BAD_TO_READ:
        (place / make.__name__).mkdir()
        bad.append(make(place / make.__name__))
    schemes = [f"{scheme}://bucket/1.png" for scheme in SCHEMES]
    args = command_line("trainer.predict", world=world, new=place)
    ended = check(commands, "trainer.predict", *args, *bad, *schemes, watched=(world, place), lines=len(bad) + 9)
    assert str(world / "picture.png") in ended.out
    for one in (*map(str, bad), *schemes):
        assert sum(one in line for line in ended.err.splitlines()) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("module", "argument"), rows(READ + WRITTEN))
def test_stores_that_we_do_not_speak_to(
    commands: Commands, world: Path, place: Path, module: str, argument: str, scheme: str
) -> None:
    args = command_line(module, world=world, new=place, **{argument: f"{scheme}://bucket/folder"})
    check(commands, module, *args, watched=(world, place), cwd=place)


@pytest.mark.parametrize("make", [below_a_file, endless_link, long_name, pipe], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("module", "argument"), rows(WRITTEN))
def test_what_is_written_cannot_be_there(
    commands: Commands, world: Path, place: Path, module: str, argument: str, make: Callable[[Path], Path]
) -> None:
    args = command_line(module, world=world, new=place, **{argument: make(place)})
    check(commands, module, *args, watched=(world, place))


@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=["plain", "overwrite"])
@pytest.mark.parametrize("name", ["thesis.txt", "my-predictions-2019.csv", "imagenet-train.tfrecord-00000-of-00003",
                                  "summary.json", "rejects.jsonl", "COMPLETED", "_summary.json", "_rejects.jsonl",
                                  "_COMPLETED", "dataset_info.json", "saved_model.pb",
                                  "labels.csv", "predictions-00000-of-00002.jsonl.bak", "config.json",
                                  "tfds/thesis.txt", "tfds"])  # fmt: skip
@pytest.mark.parametrize("module", [f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score")])
def test_a_strangers_folder_is_not_taken(
    commands: Commands, world: Path, place: Path, module: str, name: str, more: list[str]
) -> None:
    out = place / "out"
    (out / name).parent.mkdir(parents=True)
    if name == "tfds":
        (place / "elsewhere").mkdir()
        (place / "elsewhere" / "features.json").write_text("mine")
        (out / "tfds").symlink_to(place / "elsewhere")
    else:
        (out / name).write_text("mine")
    args = command_line(module, world=world, new=place)
    if module == "beam_pipelines.score" and name.startswith("tfds"):  # a folder that it does not write to stays
        check(commands, module, *args, *more, watched=(world, out / "tfds", place / "elsewhere"), statuses=(0,))
    else:
        check(commands, module, *args, *more, watched=(world, place))


@pytest.mark.parametrize("name", ["thesis.txt", "saved_model.pb", "variables/thesis.txt", "labels.csv", "images/1.png"])
@pytest.mark.parametrize("module", ["trainer.export", "beam_pipelines.draw"])
def test_a_strangers_folder_is_no_model_and_no_drawings(
    commands: Commands, world: Path, place: Path, module: str, name: str
) -> None:
    (place / "out" / name).parent.mkdir(parents=True)
    (place / "out" / name).write_text("mine")
    args = command_line(module, world=world, new=place)
    check(commands, module, *args, watched=(world, place))


def test_a_model_among_a_strangers_files_is_not_removed_with_them(commands: Commands, copied: Path) -> None:
    (copied / "model" / "thesis.txt").write_text("mine")
    args = command_line("trainer.export", world=copied, new=copied, output=copied / "model")
    check(commands, "trainer.export", *args, watched=(copied,))


@pytest.mark.parametrize("module", [f"beam_pipelines.{name}" for name in ("prepare", "synthesize", "score")])
@pytest.mark.parametrize("name", ["thesis.txt", "tfds/thesis.txt", "sub/thesis.txt"])
def test_overwriting_our_own_output_spares_a_strangers_file(
    commands: Commands, world: Path, copied: Path, module: str, name: str
) -> None:
    out = copied / {"prepare": "prepared", "synthesize": "synthetic", "score": "predictions"}[module.split(".")[1]]
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    args = command_line(module, world=world, new=copied, output=out)
    if name == "sub/thesis.txt" or (module == "beam_pipelines.score" and name == "tfds/thesis.txt"):
        check(commands, module, *args, "--overwrite", watched=(world, (out / name).parent), statuses=(0,))
    else:
        check(commands, module, *args, "--overwrite", watched=(world, copied))


@pytest.mark.parametrize(("module", "argument"), [("beam_pipelines.synthesize", "preview"),
                                                  ("beam_pipelines.inspect", "sheet"), ("trainer.predict", "draw"),
                                                  ("trainer.report", "output")])  # fmt: skip
@pytest.mark.parametrize("name", ["thesis.txt", "notes.csv", "link.txt", "folder"])
def test_a_drawing_or_page_does_not_replace_what_is_none(
    commands: Commands, world: Path, place: Path, module: str, argument: str, name: str
) -> None:
    if name == "folder":
        (place / name).mkdir()
    elif name == "link.txt":
        (place / "target.txt").write_text("mine")
        (place / name).symlink_to(place / "target.txt")
    else:
        (place / name).write_text("mine")
    args = command_line(module, world=world, new=place, **{argument: place / name})
    check(commands, module, *args, watched=(world, place))


def test_every_command_is_in_the_table() -> None:
    root = Path(__file__).parent.parent.parent
    known = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__main__")
        for package in ("trainer", "beam_pipelines", "k8s")
        for path in (root / package).rglob("*.py")
        if '__name__ == "__main__"' in path.read_text() and "def main(argv" in path.read_text()
    }
    assert known - {"trainer.svhn"} == set(SOUND)  # which runs the others
    assert {module.removesuffix(".__main__") for module, _ in svhn.COMMANDS.values()} == set(SOUND)
