import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from trainer.workdir import checkpoint


def saved(folder: Path, steps: list[int], keep: int = 3) -> tuple[checkpoint.Checkpoints, tf.Variable]:
    value = tf.Variable(np.zeros(1000, np.float32))
    checkpoints = checkpoint.Checkpoints(str(folder), tf.train.Checkpoint(value=value), keep=keep)
    for step in steps:
        value.assign(np.full(1000, step, np.float32))
        checkpoints.save(step)
    return checkpoints, value


def test_the_newest_is_restored_and_the_oldest_are_removed(tmp_path: Path) -> None:
    saved(tmp_path, [1, 2, 3, 4], keep=2)
    checkpoints, value = saved(tmp_path, [])
    assert str(checkpoints.restore()).endswith("ckpt-4")
    assert value[0] == 4
    assert len(list((tmp_path / "checkpoints").glob("*.index"))) == 2


def test_nothing_to_restore(tmp_path: Path) -> None:
    assert saved(tmp_path, [])[0].restore() is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty-index"])
def test_a_damaged_newest_falls_back_and_says_so(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path, [1, 2])
    path = tmp_path / "checkpoints" / "ckpt-2.data-00000-of-00001"
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[:100])
    elif damage == "flip":
        path.write_bytes(data[:2000] + bytes([data[2000] ^ 1]) + data[2001:])
    elif damage == "remove":
        path.unlink()
    else:
        path.with_name("ckpt-2.index").write_bytes(b"")
    checkpoints, value = saved(tmp_path, [])
    with caplog.at_level(logging.WARNING):
        assert str(checkpoints.restore()).endswith("ckpt-1")
    assert value[0] == 1
    assert "ckpt-2 cannot be read" in caplog.text


def test_all_damaged_is_an_error_and_no_new_beginning(tmp_path: Path) -> None:
    saved(tmp_path, [1])
    (tmp_path / "checkpoints" / "ckpt-1.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(RuntimeError, match="delete them to start over"):
        saved(tmp_path, [])[0].restore()


def test_the_best_is_read_before_the_newest(tmp_path: Path) -> None:
    checkpoints, _ = saved(tmp_path, [1])
    assert str(checkpoint.to_read(str(tmp_path))).endswith("checkpoints/ckpt-1")
    checkpoints.save_best(1)
    checkpoints.save(2)
    assert str(checkpoint.to_read(str(tmp_path))).endswith("best/ckpt-1")
    assert checkpoint.to_read(str(tmp_path / "nothing")) is None


def test_without_room_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, [1])
    checkpoints = saved(tmp_path, [])[0]
    checkpoints.size = 4000
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: SimpleNamespace(free=4001))
    with pytest.raises(OSError, match="free some space"):
        checkpoints.save(2)
    assert str(saved(tmp_path, [])[0].restore()).endswith("ckpt-1")


def test_the_best_can_be_kept_without_its_variables(tmp_path: Path) -> None:
    checkpoints, _ = saved(tmp_path, [1, 2])
    for step in (1, 2):
        checkpoint.keep_best(str(tmp_path), checkpoints.recent.checkpoints[step - 1])
        assert str(checkpoint.to_read(str(tmp_path))).endswith(f"best/ckpt-{step}")
    assert len(list((tmp_path / "best").glob("*.index"))) == 1


STATES = {
    "empty": b"",
    "zeros": b"\0" * 80,
    "no text": b"\xff\xfe",
    "torn": b'model_checkpoint_path: "ckpt-3"\nall_model_che',
    "of another place": b'model_checkpoint_path: "/gone/ckpt-9"\nall_model_checkpoint_paths: "/gone/ckpt-9"\n',
}


@pytest.mark.parametrize("damage", [*STATES, "missing"])
def test_a_damaged_list_of_checkpoints_falls_back_to_those_that_are_there(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, _ = saved(tmp_path, [9, 10, 11])
    before.save_best(10)
    for folder in ("checkpoints", "best"):
        state = tmp_path / folder / "checkpoint"
        state.unlink()
        if damage in STATES:
            state.write_bytes(STATES[damage])
    assert str(checkpoint.to_read(str(tmp_path))).endswith("best/ckpt-10")
    checkpoints, value = saved(tmp_path, [])
    assert str(checkpoints.restore()).endswith("checkpoints/ckpt-11")
    assert value[0] == 11
    assert "using the checkpoints whose files exist, ckpt-11, ckpt-10, ckpt-9" in caplog.text
    checkpoints.save(12)
    checkpoints.save_best(12)
    for folder, kept in (("checkpoints", [10, 11, 12]), ("best", [12])):
        assert sorted(tmp_path.glob(f"{folder}/*.index")) == [tmp_path / folder / f"ckpt-{n}.index" for n in kept]
    moved = tmp_path.rename(f"{tmp_path}-moved")
    assert str(checkpoint.to_read(str(moved))).endswith("-moved/best/ckpt-12")


@pytest.mark.parametrize("content", STATES.values())
def test_a_damaged_list_and_no_checkpoint_is_a_new_beginning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint").write_bytes(content)
    checkpoints, _ = saved(tmp_path, [])
    assert checkpoints.restore() is None
    checkpoints.save(1)
    assert str(saved(tmp_path, [])[0].restore()).endswith("ckpt-1")


def test_a_copy_of_the_best_that_was_killed_is_not_read(tmp_path: Path) -> None:
    checkpoints, _ = saved(tmp_path, [1, 2])
    checkpoint.keep_best(str(tmp_path), checkpoints.recent.checkpoints[0])
    (tmp_path / "best" / "ckpt-2.data-00000-of-00001").write_bytes(b"half")
    assert str(checkpoint.to_read(str(tmp_path))).endswith("best/ckpt-1")
    (tmp_path / "best" / "checkpoint").unlink()
    (tmp_path / "best" / "ckpt-2.index").write_bytes(b"half")
    assert str(checkpoint.to_read(str(tmp_path))).endswith("best/ckpt-1")
