"""Reading, writing and locking open files, also on systems without `pread`."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from trainer.files import file_descriptor
from trainer.files.file_descriptor import READ_ONLY, READ_WRITE, read_at, write_at


@pytest.fixture(params=["with pread", "without"])
def descriptor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if request.param == "without":
        monkeypatch.delattr(os, "pread")
        monkeypatch.delattr(os, "pwrite")
    opened = os.open(tmp_path / "file", READ_WRITE | os.O_CREAT, 0o644)
    yield opened
    os.close(opened)


def test_threads_read_and_write_one_file_at_their_own_positions(descriptor: int):
    def work(number: int) -> None:
        content = bytes([number]) * 100
        for _ in range(200):
            assert write_at(descriptor, content, 100 * number) == 100
            assert read_at(descriptor, 100, 100 * number) == content

    failed: list[object] = []
    previous, threading.excepthook = threading.excepthook, failed.append
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = previous
    assert not failed
    assert read_at(descriptor, 1000, 0) == b"".join(bytes([number]) * 100 for number in range(8))


def _add_one(path: Path, times: int) -> None:
    descriptor = os.open(path, READ_WRITE)
    for _ in range(times):
        with file_descriptor.locked(descriptor):
            write_at(descriptor, b"%09d" % (int(read_at(descriptor, 9, 0)) + 1), 0)


def test_processes_that_hold_the_lock_lose_no_change(tmp_path: Path):
    (tmp_path / "count").write_bytes(b"%09d" % 0)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_one, args=(tmp_path / "count", 300)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert int((tmp_path / "count").read_bytes()) == 900


def test_a_pipe_is_opened_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    os.close(os.open(tmp_path / "pipe", READ_ONLY))


def test_a_folder_is_flushed_where_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file_descriptor.sync_folder(str(tmp_path))
    monkeypatch.delattr(os, "O_DIRECTORY")
    file_descriptor.sync_folder(str(tmp_path / "missing"))  # nothing is tried
