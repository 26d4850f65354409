"""Checkpoints in a work folder: the newest few, the best, and the way back past a torn one."""

import logging
import os

import tensorflow as tf

log = logging.getLogger(__name__)

RECENT = "checkpoints"
BEST = "best"


class Checkpoints:
    """The checkpoints of one work folder, in one format for every way of training.

    TensorFlow writes each under a temporary name, renames it, and stores a CRC-32C with every tensor, which
    restoring checks.
    """

    def __init__(self, workdir: str, variables: tf.train.Checkpoint, *, keep: int) -> None:
        self.variables = variables
        self.recent = tf.train.CheckpointManager(variables, os.path.join(workdir, RECENT), max_to_keep=keep)
        self.best = tf.train.CheckpointManager(variables, os.path.join(workdir, BEST), max_to_keep=1)

    def save(self, step: int) -> str:
        return self.recent.save(checkpoint_number=step)

    def save_best(self, step: int) -> str:
        return self.best.save(checkpoint_number=step)

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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
