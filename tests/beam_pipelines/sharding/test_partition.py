"""Partitions written by independent processes add up to the output of one process."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from google.cloud import storage
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines import synthesize
from beam_pipelines.dataset import verify
from beam_pipelines.sharding import outputs
from tests.conftest import ROOT
from trainer.data.formats import dataset_info
from trainer.data.formats.dataset_info import COMPLETED_FILE, INFO_FILE


def made(out: Path | str, *args: object, status: int = 0) -> None:
    common = ["--count", 12, "--num-shards", 3, "--max-digits", 2, "--seed", 3, "--output", out]
    assert synthesize.main([*map(str, [*common, *args])]) == status


def contents(folder: Path, out: str) -> dict[str, bytes]:
    """Return all files, with the folder's name removed from the recorded command."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes().replace(out.encode(), b"OUT") for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    made(out)
    return contents(out, str(out))


@given(order=st.permutations(range(4)))
@settings(max_examples=2, deadline=None)
def test_shares_in_any_order_make_the_same_bytes(
    order: list[int], whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With three shards in four partitions, one partition is empty."""
    out = tmp_path_factory.mktemp("shares") / "out"
    for number, index in enumerate(order):
        assert not (out / COMPLETED_FILE).exists(), f"complete after {number} of 4 shares"
        made(out, "--share", f"{index}/4")
    assert contents(out, str(out)) == whole


def test_a_share_is_not_made_twice_and_mended_if_it_is_torn(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "--share", "0/2")
    shard = out / dataset_info.shard_name("train", 0, 3)
    os.utime(shard, (1, 1))
    made(out, "--share=0/2")
    assert shard.stat().st_mtime == 1
    shard.write_bytes(b"torn")
    made(out, "--share", "0/2")
    made(out, "--share", "1/2")
    assert contents(out, str(out)) == whole
    made(out, "--share", "1/2")  # a Pod that is started again after the end
    assert contents(out, str(out)) == whole


def test_two_that_complete_at_once_write_the_same(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "--share", "0/2")
    notes = tmp_path / "notes"
    notes.mkdir()
    for path in out.glob(f"*{outputs.NOTE}*"):
        shutil.copy(path, notes)
    made(out, "--share", "1/2")
    # As if the other one had not yet seen that it is complete.
    (out / COMPLETED_FILE).unlink()
    for path in notes.iterdir():
        shutil.copy(path, out)
    made(out, "--share", "1/2")
    assert contents(out, str(out)) == whole


def test_one_that_is_overtaken_by_the_last_is_done(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another finds all notes, completes the output and removes the notes while this one looks for them."""
    out, overtaken = tmp_path / "out", threading.Event()
    made(out, "--share", "1/2")
    look = outputs.is_complete

    def looked(output: str, kind: outputs.Kind) -> bool:
        is_complete = look(output, kind)
        if not overtaken.is_set():
            overtaken.set()
            made(out, "--share", "1/2")
        return is_complete

    monkeypatch.setattr(outputs, "is_complete", looked)
    made(out, "--share", "0/2")
    assert contents(out, str(out)) == whole


def test_what_was_left_by_other_options_does_not_count(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "--share", "0/2", "--seed", 4)
    made(out, "--share", "1/2")
    assert not (out / COMPLETED_FILE).exists()
    made(out, "--share", "0/2", "--num-shards", 2)
    made(out, "--share", "0/2")
    assert contents(out, str(out)) == whole
    assert verify.find(str(out), dataset_info.info_from_json((out / INFO_FILE).read_text(), str(out))) == []


def test_one_process_alone_replaces_shares_that_were_left(whole: dict[str, bytes], tmp_path: Path) -> None:
    made(tmp_path / "out", "--share", "0/2")
    made(tmp_path / "out")
    assert contents(tmp_path / "out", str(tmp_path / "out")) == whole


def test_shares_meet_in_a_bucket(bucket: storage.Bucket) -> None:
    for index in (1, 0):
        made("gs://my-bucket/out", "--share", f"{index}/2")
    names = {blob.name.removeprefix("out/") for blob in bucket.list_blobs()}
    assert COMPLETED_FILE in names
    assert not any(outputs.NOTE in name for name in names)


@pytest.mark.slow
def test_sigterm_ends_a_share_at_once_and_not_with_success(tmp_path: Path) -> None:
    """Kubernetes reports a process killed by the signal as 143, 128 plus the signal's number."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "beam_pipelines.synthesize", "--count", "100000", "--share", "0/2"]
    with subprocess.Popen([*command, "--output", str(out)], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not out.exists() and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert not (out / COMPLETED_FILE).exists()
    assert not list(out.glob(f"*{outputs.NOTE}*"))


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2", "0/0", "1/2/3"])
def test_what_is_no_share_is_refused(share: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "out", f"--share={share}", status=2)
    assert "write I/N" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_shares_do_not_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "out", "--share", "0/2", "--overwrite", status=2)
    assert "--overwrite cannot be combined with --partition" in capsys.readouterr().err
