"""draw replaces what it drew, also in a run that was killed, and nothing else."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import draw, prepare
from beam_pipelines.runs import draw as drawing
from beam_pipelines.sharding.outputs import LOCK_FILE
from tests.beam_pipelines.sharding.test_outputs import put, snapshot
from trainer.data.formats import dataset_info
from trainer.files.lock import Lock


@pytest.mark.parametrize("killed_in", ["image", "labels"])
def test_draw_replaces_what_a_killed_run_has_drawn(
    tmp_path: Path, killed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "photos"
    assert draw.main(["--count", "2", "--seed", "1", "--output", str(out)]) == 0
    before = (out / "labels.csv").read_bytes()
    with monkeypatch.context() as patch:
        if killed_in == "image":
            patch.setattr(drawing.Fonts, "__call__", interrupted_after(2, drawing.Fonts.__call__))
        else:
            patch.setattr(drawing.csv, "writer", interrupted_after(0, drawing.csv.writer))
        assert draw.main(["--count", "3", "--seed", "2", "--output", str(out)]) == 130
    assert (out / "labels.csv").read_bytes() == before
    assert draw.main(["--count", "4", "--seed", "2", "--output", str(out)]) == 0
    assert len((out / "labels.csv").read_text().splitlines()) == 5
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels.csv"]


def test_labels_never_name_images_that_a_killed_run_has_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "photos"
    args = ["--count", "4", "--seed", "1", "--output", str(out)]
    assert draw.main(args) == 0
    with monkeypatch.context() as patch:
        patch.setattr(drawing.Fonts, "__call__", interrupted_after(2, drawing.Fonts.__call__))
        assert draw.main([*args, "--pattern", "7{5}"]) == 130
    assert not (out / "labels.csv").exists()
    assert draw.main([*args, "--pattern", "7{5}"]) == 0
    with (out / "labels.csv").open(newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"77777"}
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels.csv"]


def interrupted_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    left = [calls]

    def counted(*args: Any, **options: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return function(*args, **options)

    return counted


def drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def test_another_seed_and_fewer_images_leave_none_without_a_label(tmp_path: Path) -> None:
    out = tmp_path / "photos"
    for count, seed in ((5, 1), (3, 1), (2, 2), (4, 1)):
        assert draw.main(["--count", str(count), "--seed", str(seed), "--output", str(out)]) == 0
        assert drawn(out) == [f"{seed}-{i:06d}.png" for i in range(count)]


def test_what_a_killed_run_leaves_is_removed_once_others_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "photos"
    assert draw.main(["--count", "3", "--seed", "1", "--output", str(out)]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted_after(1, Path.unlink))
        assert draw.main(["--count", "2", "--seed", "2", "--output", str(out)]) == 130
    assert draw.main(["--count", "2", "--seed", "3", "--output", str(out)]) == 0
    assert drawn(out) == ["3-000000.png", "3-000001.png"]
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels.csv"]


def test_two_at_once_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "photos"
    assert draw.main(["--count", "2", "--seed", "1", "--output", str(out)]) == 0
    with Lock(str(out / LOCK_FILE), None):
        before = snapshot(out)
        assert draw.main(["--count", "3", "--seed", "2", "--output", str(out)]) == 42
        assert snapshot(out) == before
    assert "is in use by process" in capsys.readouterr().err
    (out / LOCK_FILE).write_text("{}")  # of a process that was killed
    assert draw.main(["--count", "3", "--seed", "2", "--output", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels.csv"]


@pytest.mark.parametrize("name", ["labels.csv.unfinished", "labels.csv.new", "images/1-000003.png", "1-000000.png"])
def test_draw_leaves_what_no_unfinished_run_of_it_wrote(tmp_path: Path, name: str) -> None:
    out = tmp_path / "photos"
    put(out, name)
    if name.startswith("images"):
        (out / "labels.csv.unfinished").write_text("1,3\n")
    before = snapshot(out)
    assert draw.main(["--count", "3", "--seed", "1", "--output", str(out)]) == 2
    assert snapshot(out) == before


@pytest.mark.parametrize("name", ["images", "images/0-000000.png", ".svhn-lock"])
@pytest.mark.parametrize("kind", ["pipe", "other"])
def test_what_has_its_names_but_is_something_else_stays(tmp_path: Path, name: str, kind: str) -> None:
    """A folder in place of a file, and a file in place of a folder."""
    out = tmp_path / "photos"
    if name != "images":
        assert draw.main(["--count", "1", "--output", str(out)]) == 0
        (out / name).unlink(missing_ok=True)
    else:
        out.mkdir()
    if kind == "pipe":
        os.mkfifo(out / name)
    elif name == "images":
        (out / name).write_text("mine")
    else:
        (out / name).mkdir()
    mode = (out / name).stat().st_mode
    assert draw.main(["--count", "1", "--output", str(out)]) == 2
    assert (out / name).stat().st_mode == mode


def test_draw_replaces_only_what_it_drew(tmp_path: Path) -> None:
    out = tmp_path / "photos"
    assert draw.main(["--count", "3", "--output", str(out)]) == 0
    assert draw.main(["--count", "2", "--output", str(out)]) == 0
    put(out, "images/mine.png")
    before = snapshot(out)
    assert draw.main(["--count", "3", "--output", str(out)]) == 2
    assert snapshot(out) == before
    other = tmp_path / "other"
    put(other, "labels.csv")
    before = snapshot(other)
    assert draw.main(["--count", "3", "--output", str(other)]) == 2
    assert snapshot(other) == before


def test_scenes_are_labelled_images_that_prepare_takes(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    arguments = ["--count", "9", "--scene-size", "96", "--output", str(out)]
    assert draw.main(arguments) == 0
    first = snapshot(out)
    with (out / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == set(drawn(out))
    assert {bool(row["label"]) for row in rows} == {True, False}
    data = tmp_path / "data"
    prepared = ["--format", "csv", "--input", str(out), "--crop", "whole", "--split", "train", "--output", str(data)]
    assert prepare.main(prepared) == 0
    assert dataset_info.read_info(str(data)).splits["train"].records == 9
    assert draw.main(arguments) == 0
    assert snapshot(out) == first
    assert draw.main(["--count", "2", "--output", str(out)]) == 0
    assert len(drawn(out)) == 2


def test_another_name_of_an_image_keeps_its_content(tmp_path: Path) -> None:
    """As in the export of a review, whose images are hard links."""
    assert draw.main(["--count", "2", "--output", str(tmp_path / "out")]) == 0
    image = tmp_path / "out" / "images" / "0-000000.png"
    before = image.read_bytes()
    (tmp_path / "theirs.png").hardlink_to(image)
    assert draw.main(["--count", "2", "--pattern", "[A-F]{4}", "--output", str(tmp_path / "out")]) == 0
    assert image.read_bytes() != before
    assert (tmp_path / "theirs.png").read_bytes() == before
