"""Checkpoints in a work folder: the newest few, the best, and the way back past a torn one."""

import functools
import logging
import os
import re
import shutil
import time

import tensorflow as tf
from google.protobuf import text_format

from trainer.cli import UserError
from trainer.exit_status import Failed
from trainer.files import whole_file

log = logging.getLogger(__name__)

RECENT = "checkpoints"
BEST = "best"
STATE_FILE = "checkpoint"  # in which TensorFlow notes what there is
PATTERN = "[]*?\\"  # characters that TensorFlow's readers do not take as they are
ROOM = 1.1  # a checkpoint's size against its variables'
UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, LookupError)  # what reading a damaged one raises


class UnreadableCheckpoint(Failed):
    """There are checkpoints, and none of them can be read."""


class Checkpoints:
    """The checkpoints of one work folder, in one format for every way of training.

    TensorFlow writes each under a temporary name, renames it, and stores a CRC-32C with every tensor, which
    restoring checks. `size` is that of the variables in bytes, for which there must be room.
    """

    def __init__(self, workdir: str, variables: tf.train.Checkpoint, *, keep: int, size: int = 0) -> None:
        self.variables, self.size, self.keep = variables, size, keep
        self.folder, self.best_folder = os.path.join(workdir, RECENT), os.path.join(workdir, BEST)

    @functools.cached_property
    def recent(self) -> tf.train.CheckpointManager:
        return _manager(self.variables, self.folder, keep=self.keep)

    @functools.cached_property
    def best(self) -> tf.train.CheckpointManager:
        return _manager(self.variables, self.best_folder, keep=1)

    def save(self, step: int) -> str:
        """Save, and remove the oldest.

        Raises:
          OSError: there is too little room.
        """
        self._check_room(self.folder)
        return self.recent.save(checkpoint_number=step)

    def save_best(self, step: int) -> str:
        """Like `save`, beside the best one so far."""
        self._check_room(self.best_folder)
        return self.best.save(checkpoint_number=step)

    def _check_room(self, folder: str) -> None:
        if "://" in folder:
            return  # a bucket has no end
        os.makedirs(folder, exist_ok=True)
        needed, free = self.size * ROOM, shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(
                f"{folder} has {free / 1e6:.0f} MB free, and a checkpoint needs {needed / 1e6:.0f} MB: make room, "
                "or lower train.keep_checkpoints; the checkpoints before are whole"
            )

    def restore(self) -> str | None:
        """Restore the newest checkpoint that can be read; return its path, or None where there is none at all.

        Raises:
          Unreadable: there are checkpoints, and none of them can be read.
        """
        return read_first(self.variables, listed(self.folder))


def read_first(variables: tf.train.Checkpoint, paths: list[str]) -> str | None:
    """Read the first checkpoint that can be read; return its path, or None where there are no paths.

    Args:
      variables: what is read.
      paths: the checkpoints, the one to prefer first.
    Raises:
      Unreadable: none of them can be read.
    """
    for path in paths:
        try:
            # What does not match is told below; TensorFlow would tell it again, value by value, when the process ends.
            status = variables.read(path)
            status.expect_partial()
            status.assert_existing_objects_matched()
        except UNREADABLE as error:
            log.warning("checkpoint %s cannot be read (%s): trying the one before", path, _first_line(error))
        else:
            return path
    if paths:
        raise UnreadableCheckpoint(f"none of the checkpoints {', '.join(paths)} can be read: delete them to start anew")
    return None


def check_name(folder: str, option: str) -> None:
    """Check that TensorFlow takes a folder's name for nothing else.

    It saves under any name, but it reads, and removes, what the name matches as a pattern.

    Raises:
      UserError: it would take the name for a pattern.
    """
    if found := sorted(set(PATTERN) & set(folder)):
        raise UserError(
            f"{option} {folder}: TensorFlow takes {' '.join(found)} in a name for a pattern, and would read or remove "
            "other files: choose a name without"
        )


def to_read(workdir: str) -> str | None:
    """Return the checkpoint to read numbers with: the best, else the newest; None where there is none.

    One whose index is damaged is returned only where all are.
    """
    paths = in_order_to_read(workdir)
    return next(filter(_opens, paths), paths[0] if paths else None)


def in_order_to_read(workdir: str) -> list[str]:
    """Return the checkpoints to read numbers with: the best, then the newest first."""
    paths = [path for folder in (BEST, RECENT) for path in listed(os.path.join(workdir, folder))]
    return [path for path in paths if tf.io.gfile.exists(f"{path}.index")]


def listed(folder: str) -> list[str]:
    """Return the checkpoints in a folder, the newest first: those of its state file, else those whose files are there.

    The state file, `checkpoint`, is written last, so what it does not list may not be whole. But a loss of power or a
    full disk leaves it empty, and people delete it.
    """
    paths = _in_state_file(folder)
    if any(tf.io.gfile.exists(f"{path}.index") for path in paths):
        return paths[::-1]
    paths = _files(folder)
    if paths:
        names = ", ".join(map(os.path.basename, paths))
        _tell(f"{folder}/checkpoint is missing or damaged: using the checkpoints whose files are there, {names}")
    return paths


def step_of(path: str) -> int:
    """Return the step of a checkpoint, by its name."""
    return int(path.rsplit("-", 1)[1])


def _in_state_file(folder: str) -> list[str]:
    """Return the checkpoints that the state file lists, the newest last; none where it is missing or damaged."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:  # empty, or not text
        return []
    return list(state.all_model_checkpoint_paths) if state else []


def _files(folder: str) -> list[str]:
    """Return the checkpoints whose files are there, the newest first."""
    if not tf.io.gfile.isdir(folder):
        return []
    names = set(tf.io.gfile.listdir(folder))
    found = [name.removesuffix(".index") for name in names if re.fullmatch(r"ckpt-\d+\.index", name)]
    whole = [name for name in found if any(other.startswith(f"{name}.data-") for other in names)]
    return [os.path.join(folder, name) for name in sorted(whole, key=step_of, reverse=True)]


def _manager(variables: tf.train.Checkpoint, folder: str, *, keep: int) -> tf.train.CheckpointManager:
    """Return TensorFlow's manager of a folder, whose state file is written anew where it is missing or damaged."""
    state = os.path.join(folder, "checkpoint")
    paths = listed(folder)[::-1]
    if paths and paths != _in_state_file(folder):
        _record(folder, paths)
    elif not paths and tf.io.gfile.exists(state):
        tf.io.gfile.remove(state)  # it lists nothing that is there, and the manager may fail at it
    return tf.train.CheckpointManager(variables, folder, max_to_keep=keep)


def _record(folder: str, paths: list[str]) -> None:
    """Write the state file, with names only, so that the folder can be moved."""
    if "://" not in folder:
        folder, paths = os.path.abspath(folder), [os.path.basename(path) for path in paths]
    now = time.time()
    state = tf.compat.v1.train.generate_checkpoint_state_proto(
        folder,
        paths[-1],
        all_model_checkpoint_paths=paths,
        all_model_checkpoint_timestamps=[now] * len(paths),
        last_preserved_timestamp=now - 1.0,  # before the others, or TensorFlow's manager would never remove them
    )
    whole_file.write(f"{folder}/{STATE_FILE}", text_format.MessageToString(state))


def _opens(path: str) -> bool:
    """Return whether the index of a checkpoint can be read."""
    try:
        tf.train.load_checkpoint(path)
    except UNREADABLE:
        return False
    return True


@functools.cache
def _tell(message: str) -> None:
    """Log a warning once, since an evaluator looks every few seconds."""
    log.warning("%s", message)


def keep_best(workdir: str, path: str) -> None:
    """Copy a checkpoint beside the recent ones as the best; for a process that has not its variables."""
    source, name, folder = os.path.dirname(path), os.path.basename(path), os.path.join(workdir, BEST)
    tf.io.gfile.makedirs(folder)
    before = [old for old in tf.io.gfile.listdir(folder) if old.startswith("ckpt-")]
    # The index last: a checkpoint that has one is whole.
    parts = sorted(part for part in tf.io.gfile.listdir(source) if part.startswith(f"{name}."))
    for part in parts:
        tf.io.gfile.copy(os.path.join(source, part), os.path.join(folder, part), overwrite=True)
    _record(folder, [os.path.join(folder, name)])
    for old in set(before) - set(parts):
        tf.io.gfile.remove(os.path.join(folder, old))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
