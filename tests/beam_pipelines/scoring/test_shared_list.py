"""Partitions share one list of images, whenever they start and wherever they are killed."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from beam_pipelines.scoring import find_images, image_list, shared_list
from beam_pipelines.scoring.image_list import IMAGES_FILE, Item
from beam_pipelines.scoring.predictions import KIND
from beam_pipelines.scoring.shared_list import Images
from beam_pipelines.sharding import outputs
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.scoring import drawn_photos
from tests.conftest import ROOT
from trainer.data.formats.output_names import PREDICTIONS

COUNT = 8
ASKED = {"input": ["photos"]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return drawn_photos.write(tmp_path / "photos", COUNT - 1, "none.png")


@pytest.fixture
def run(photos: Path, tiny_model: Path) -> Callable[..., int]:
    return drawn_photos.scorer(photos, tiny_model)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The inputs of each call that lists images."""
    found: list[str] = []
    find = find_images.find

    def noted(inputs: Any, scratch: str) -> find_images.Found:
        found.append(*inputs)
        return find(inputs, scratch)

    monkeypatch.setattr(find_images, "find", noted)
    return found


def rows(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("[p_]*") if path.name != PREDICTIONS.description}


def test_partitions_list_once_and_write_what_one_process_writes(
    tmp_path: Path, run: Callable[..., int], listings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for partition in ("1/3", "2/3", "0/3"):  # with two shards, one partition is empty
        assert run(tmp_path / "shared", "--partition", partition) == 0
    assert len(listings) == 1
    assert f"using the list of {COUNT} images in {tmp_path}/shared/{IMAGES_FILE}" in capsys.readouterr().out
    assert run(tmp_path / "alone") == 0
    assert rows(tmp_path / "shared") == rows(tmp_path / "alone")
    assert set(os.listdir(tmp_path / "shared")) == set(os.listdir(tmp_path / "alone"))
    summaries = [json.loads((tmp_path / name / PREDICTIONS.description).read_text()) for name in ("shared", "alone")]
    assert summaries[0]["request"] == summaries[1]["request"]
    assert summaries[0]["other_files_by_ending"] == summaries[1]["other_files_by_ending"]


def test_inputs_that_change_between_partitions_are_noticed_once_all_are_done(
    tmp_path: Path, photos: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """All partitions divide the same list."""
    out = tmp_path / "out"
    assert run(out, "--partition", "0/2") == 0
    (photos / "new.png").write_bytes(next(photos.iterdir()).read_bytes())
    assert run(out, "--partition", "1/2") == 0
    summary = json.loads((out / PREDICTIONS.description).read_text())
    assert summary["images"] == COUNT
    for options in ((), ("--partition", "1/2")):
        assert run(out, *options) == 2
        assert "was written from other inputs" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["other input", "torn", "no note", "torn note", "removed"])
def test_another_list_is_not_used(
    damage: str, tmp_path: Path, photos: Path, run: Callable[..., int], listings: list[str]
) -> None:
    out, others = tmp_path / "out", drawn_photos.write(tmp_path / "others", 2, "none.png")
    given = ("--input", str(others)) if damage == "other input" else ()
    assert run(out, "--partition", "0/2", *given) == 0
    stored = out / IMAGES_FILE
    if damage == "torn":
        stored.write_bytes(stored.read_bytes()[:-7])
    elif damage == "removed":
        stored.unlink()
    elif damage == "no note":
        (out / shared_list.NOTE_FILE).unlink()
    elif damage == "torn note":
        (out / shared_list.NOTE_FILE).write_text('{"asked')
    for partition in ("1/2", "0/2") if given else ("1/2",):
        assert run(out, "--partition", partition) == 0
    assert len(listings) == 2
    assert json.loads((out / PREDICTIONS.description).read_text())["images"] == COUNT


def images_of(local: Path) -> Images:
    items = [Item(f"{i}.png", f"{i}.png", file=(1, 1.0)) for i in range(3)]
    with local.open("wb") as file:
        listed = image_list.write(file, str(local), items)
    return shared_list.describe(listed, {})


@pytest.mark.parametrize("in_bucket", [False, True])
def test_those_that_start_together_list_once(
    in_bucket: bool, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_list, "POLL_SECONDS", 0.05)
    if in_bucket:
        request.getfixturevalue("bucket")
    output = f"gs://{BUCKET}/out" if in_bucket else str(tmp_path / "out")
    made: list[int] = []
    found: list[Images] = []

    def take(index: int) -> None:
        local = tmp_path / f"local-{index}"

        def make() -> Images:
            made.append(index)
            time.sleep(1)
            return images_of(local)

        with shared_list.opened(output, ASKED, make, str(local), share=True) as (images, publish):
            outputs.mark(output, KIND, ())  # as a run does before
            publish()
            found.append(images)
            assert len(image_list.open_list(str(local))) == images.count == 3

    threads = [threading.Thread(target=take, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(found) == 3
    assert len(set(map(str, found))) == 1


def test_one_that_fails_leaves_the_turn_to_the_next_and_no_folder(tmp_path: Path) -> None:
    output, local = tmp_path / "out", tmp_path / "local"

    def fail() -> Images:
        assert (output / outputs.LIST_LOCK_FILE).exists()
        raise OSError("the folder cannot be listed")

    with (
        pytest.raises(OSError, match="cannot be listed"),
        shared_list.opened(str(output), ASKED, fail, str(local), share=True),
    ):
        pass
    assert not output.exists()
    with shared_list.opened(str(output), ASKED, lambda: images_of(local), str(local), share=True) as (_, publish):
        publish()
        assert not (output / outputs.LIST_LOCK_FILE).exists()
    assert (output / IMAGES_FILE).exists()


def test_a_strangers_folder_is_not_touched(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("years of work")
    assert run(out, "--partition", "0/2") == 2
    assert "holds thesis.doc, which this program did not write" in capsys.readouterr().err
    assert os.listdir(out) == ["thesis.doc"]


@pytest.fixture
def killed_while_it_lists(tmp_path: Path) -> Path:
    """An output whose first partition was killed after it had begun to list images."""
    code = (
        "import sys, time\n"
        "from beam_pipelines.scoring import shared_list\n"
        f"with shared_list.opened({str(tmp_path / 'out')!r}, {ASKED}, lambda: time.sleep(99), 'none', share=True): pass"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
        while not (tmp_path / "out" / outputs.LIST_LOCK_FILE).exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    return tmp_path / "out"


@pytest.mark.slow
def test_the_next_one_takes_over_from_one_that_was_killed(
    killed_while_it_lists: Path, run: Callable[..., int], listings: list[str]
) -> None:
    for partition in ("1/2", "0/2"):
        assert run(killed_while_it_lists, "--partition", partition) == 0
    assert len(listings) == 1
    assert (killed_while_it_lists / PREDICTIONS.completed).exists()
    assert not list(killed_while_it_lists.glob(f"{outputs.LOCK_FILE}*"))


@pytest.mark.slow
def test_what_a_killed_lister_left_is_in_nobodys_way(killed_while_it_lists: Path, run: Callable[..., int]) -> None:
    assert run(killed_while_it_lists) == 0
    assert not list(killed_while_it_lists.glob(f"{outputs.LOCK_FILE}*"))


@pytest.mark.parametrize("point", ["before the list", "after the list", "before the note"])
def test_one_that_is_ended_anywhere_loses_nothing(
    point: str, tmp_path: Path, run: Callable[..., int], listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill, but that locks are released: what is on the disk is the same."""
    out = tmp_path / "out"

    def interrupted(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        if point == "before the list":
            patch.setattr(shared_list, "whole_file", interrupted)
        elif point == "after the list":
            patch.setattr("beam_pipelines.sharding.shards.execute", interrupted)
        else:
            patch.setattr("beam_pipelines.sharding.shards.check_counts", interrupted)
        assert run(out, "--partition", "0/2") == 42
    for partition in ("1/2", "0/2"):
        assert run(out, "--partition", partition) == 0
    assert len(listings) == (2 if point == "before the list" else 1)
    assert run(tmp_path / "alone") == 0
    assert rows(out) == rows(tmp_path / "alone")


def test_a_bucket_and_a_flat_file_share_a_list(
    bucket: storage.Bucket, tmp_path: Path, run: Callable[..., int], listings: list[str]
) -> None:
    for output in (f"gs://{BUCKET}/out", str(tmp_path / "out.csv")):
        for partition in ("0/2", "1/2"):
            assert run(output, "--partition", partition) == 0
    assert len(listings) == 2
    assert bucket.blob(f"out/{PREDICTIONS.completed}").exists()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == COUNT
