"""Checkpoints in a work folder: the newest few, the best, and the way back past a torn one."""

import logging
import os
import shutil

import tensorflow as tf

log = logging.getLogger(__name__)

RECENT = "checkpoints"
BEST = "best"
ROOM = 1.1  # a checkpoint's size against its variables'


class Checkpoints:
    """The checkpoints of one work folder, in one format for every way of training.

    TensorFlow writes each under a temporary name, renames it, and stores a CRC-32C with every tensor, which
    restoring checks. `size` is that of the variables in bytes, for which there must be room.
    """

    def __init__(self, workdir: str, variables: tf.train.Checkpoint, *, keep: int, size: int = 0) -> None:
        self.variables, self.size = variables, size
        self.recent = tf.train.CheckpointManager(variables, os.path.join(workdir, RECENT), max_to_keep=keep)
        self.best = tf.train.CheckpointManager(variables, os.path.join(workdir, BEST), max_to_keep=1)

    def save(self, step: int) -> str:
        """Saves, and removes the oldest.

        Raises:
          OSError: there is too little room.
        """
        self._check_room(self.recent.directory)
        return self.recent.save(checkpoint_number=step)

    def save_best(self, step: int) -> str:
        """Like `save`, beside the best one so far."""
        self._check_room(self.best.directory)
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
        """Restores the newest checkpoint that can be read; returns its path, or None where there is none at all.

        Raises:
          RuntimeError: there are checkpoints, and none of them can be read.
        """
        paths = list(reversed(self.recent.checkpoints))
        for path in paths:
            try:
                self.variables.read(path).assert_existing_objects_matched()
            except (tf.errors.OpError, ValueError, AssertionError, LookupError) as error:
                log.warning("checkpoint %s cannot be read (%s): trying the one before", path, _first_line(error))
            else:
                return path
        if paths:
            raise RuntimeError(f"none of the checkpoints {', '.join(paths)} can be read: delete them to start anew")
        return None


def to_read(workdir: str) -> str | None:
    """The checkpoint to read numbers with: the best, else the newest; None where there is none."""
    for folder in (BEST, RECENT):
        path = tf.train.latest_checkpoint(os.path.join(workdir, folder))
        if path:
            return path
    return None


def keep_best(workdir: str, path: str) -> None:
    """Copies a checkpoint beside the recent ones as the best; for a process that has not its variables."""
    folder = os.path.join(workdir, BEST)
    tf.io.gfile.makedirs(folder)
    before = tf.io.gfile.glob(f"{folder}/ckpt-*")
    copied = [os.path.join(folder, os.path.basename(part)) for part in tf.io.gfile.glob(f"{path}.*")]
    for part in copied:
        tf.io.gfile.copy(f"{os.path.dirname(path)}/{os.path.basename(part)}", part, overwrite=True)
    best = os.path.join(folder, os.path.basename(path))
    tf.compat.v1.train.update_checkpoint_state(folder, best, all_model_checkpoint_paths=[best])
    for old in set(before) - set(copied):
        tf.io.gfile.remove(old)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
