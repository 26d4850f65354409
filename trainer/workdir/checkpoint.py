"""Checkpoints in a work folder: the newest few and the best, with a fallback if one is damaged."""

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
STATE_FILE = "checkpoint"  # TensorFlow's list of the checkpoints
PATTERN = "[]*?\\"  # characters that TensorFlow's readers do not take literally
ROOM = 1.1  # free space needed, relative to the size of the variables
UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, LookupError)  # raised when reading a damaged checkpoint


class UnreadableCheckpoint(Failed):
    """Checkpoints exist, but none of them can be read."""


class Checkpoints:
    """The checkpoints of one work folder, in one format for every strategy.

    TensorFlow writes each under a temporary name, renames it, and stores a CRC-32C with every tensor, which is
    checked on restore. `size` is the size of the variables in bytes; saving requires enough disk space for it.
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
        """Save a checkpoint, and remove the oldest.

        Raises:
          OSError: there is too little disk space.
        """
        self._check_room(self.folder)
        return self.recent.save(checkpoint_number=step)

    def save_best(self, step: int) -> str:
        """Save a checkpoint as the best, replacing the previous best."""
        self._check_room(self.best_folder)
        return self.best.save(checkpoint_number=step)

    def _check_room(self, folder: str) -> None:
        if "://" in folder:
            return  # object stores have no size limit
        os.makedirs(folder, exist_ok=True)
        needed, free = self.size * ROOM, shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(
                f"{folder} has {free / 1e6:.0f} MB free, but a checkpoint needs {needed / 1e6:.0f} MB: free some "
                "space, or lower train.keep_checkpoints; earlier checkpoints are intact"
            )

    def restore(self) -> str | None:
        """Restore the newest checkpoint that can be read; return its path, or None if there is none.

        Raises:
          UnreadableCheckpoint: checkpoints exist, but none of them can be read.
        """
        return read_first(self.variables, listed(self.folder))


def read_first(variables: tf.train.Checkpoint, paths: list[str]) -> str | None:
    """Restore the first checkpoint that can be read; return its path, or None if there are no paths.

    Args:
      variables: what to restore.
      paths: the checkpoints, in order of preference.
    Raises:
      UnreadableCheckpoint: none of them can be read.
    """
    for path in paths:
        try:
            # Mismatches are reported below; TensorFlow would also log them, value by value, when the process ends.
            status = variables.read(path)
            status.expect_partial()
            status.assert_existing_objects_matched()
        except UNREADABLE as error:
            log.warning("checkpoint %s cannot be read (%s): trying the previous one", path, _first_line(error))
        else:
            return path
    if paths:
        raise UnreadableCheckpoint(f"none of the checkpoints {', '.join(paths)} can be read: delete them to start over")
    return None


def check_name(folder: str, option: str) -> None:
    """Check that TensorFlow takes a folder's name literally.

    TensorFlow saves under any name, but when it reads and removes files, it treats the name as a pattern.

    Raises:
      UserError: TensorFlow would treat the name as a pattern.
    """
    if wildcards := sorted(set(PATTERN) & set(folder)):
        raise UserError(
            f"{option} {folder}: TensorFlow treats {' '.join(wildcards)} in a name as a pattern, and would read or "
            "remove other files: choose a name without such characters"
        )


def to_read(workdir: str) -> str | None:
    """Return the checkpoint to decode with: the best, else the newest; None if there are none.

    A checkpoint with a damaged index is returned only if all are damaged.
    """
    paths = in_order_to_read(workdir)
    return next(filter(_opens, paths), paths[0] if paths else None)


def in_order_to_read(workdir: str) -> list[str]:
    """Return the checkpoints to decode with: the best, then the others, newest first."""
    paths = [path for folder in (BEST, RECENT) for path in listed(os.path.join(workdir, folder))]
    return [path for path in paths if tf.io.gfile.exists(f"{path}.index")]


def listed(folder: str) -> list[str]:
    """Return the checkpoints in a folder, newest first: those in its state file, else those whose files exist.

    The state file, `checkpoint`, is written last, so a checkpoint that it does not list may be incomplete. But a power
    failure or a full disk may leave the state file empty, and people delete it.
    """
    paths = _in_state_file(folder)
    if any(tf.io.gfile.exists(f"{path}.index") for path in paths):
        return paths[::-1]
    paths = _files(folder)
    if paths:
        names = ", ".join(map(os.path.basename, paths))
        _tell(f"{folder}/checkpoint is missing or damaged: using the checkpoints whose files exist, {names}")
    return paths


def step_of(path: str) -> int:
    """Return the step of a checkpoint, by its name."""
    return int(path.rsplit("-", 1)[1])


def _in_state_file(folder: str) -> list[str]:
    """Return the checkpoints that the state file lists, newest last; none if it is missing or damaged."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:  # empty, or not text
        return []
    return list(state.all_model_checkpoint_paths) if state else []


def _files(folder: str) -> list[str]:
    """Return the checkpoints whose files exist, newest first."""
    if not tf.io.gfile.isdir(folder):
        return []
    names = set(tf.io.gfile.listdir(folder))
    indexed = [name.removesuffix(".index") for name in names if re.fullmatch(r"ckpt-\d+\.index", name)]
    whole = [name for name in indexed if any(other.startswith(f"{name}.data-") for other in names)]
    return [os.path.join(folder, name) for name in sorted(whole, key=step_of, reverse=True)]


def _manager(variables: tf.train.Checkpoint, folder: str, *, keep: int) -> tf.train.CheckpointManager:
    """Return TensorFlow's manager of a folder; rewrite its state file if that is missing or damaged."""
    state = os.path.join(folder, "checkpoint")
    paths = listed(folder)[::-1]
    if paths and paths != _in_state_file(folder):
        _record(folder, paths)
    elif not paths and tf.io.gfile.exists(state):
        tf.io.gfile.remove(state)  # it lists no checkpoint that exists, and the manager may fail on it
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
    """Log a warning once, since an evaluator polls every few seconds."""
    log.warning("%s", message)


def keep_best(workdir: str, path: str) -> None:
    """Copy a recent checkpoint as the best; for processes that do not have the variables in memory."""
    source, name, folder = os.path.dirname(path), os.path.basename(path), os.path.join(workdir, BEST)
    tf.io.gfile.makedirs(folder)
    before = [old for old in tf.io.gfile.listdir(folder) if old.startswith("ckpt-")]
    # The index is copied last: a checkpoint that has one is complete.
    parts = sorted(part for part in tf.io.gfile.listdir(source) if part.startswith(f"{name}."))
    for part in parts:
        tf.io.gfile.copy(os.path.join(source, part), os.path.join(folder, part), overwrite=True)
    _record(folder, [os.path.join(folder, name)])
    for old in set(before) - set(parts):
        tf.io.gfile.remove(os.path.join(folder, old))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
