"""Starts or resumes a run: the values that a learner begins with, and what the work folder says about the run."""

import logging
from typing import Any

from trainer import checkpoint, init_from, leaks
from trainer import workdir as work
from trainer.config import Config
from trainer.init_from import Source
from trainer.input_pipeline import Pictures
from trainer.learner import Learner

log = logging.getLogger(__name__)


def resume(
    wanted: Config,
    workdir: str,
    learner: Learner,
    checkpoints: checkpoint.Checkpoints,
    training: Pictures,
    source: Source | None,
    *,
    inputs: dict[str, Any],
) -> str:
    """Give a learner the values of the newest checkpoint, else those of the source, and return where they are from.

    Nothing is written before all of that has worked.

    Args:
      wanted: the configuration.
      workdir: the work folder.
      learner: what gets the values.
      checkpoints: those of the work folder.
      training: the images to train on.
      source: the weights of another run, for a new work folder only.
      inputs: the folders that the images are from, by the names of the options.
    Raises:
      UserError: the work folder holds another model, or no weight of the source fits.
      checkpoint.Unreadable: there are checkpoints, and none of them can be read.
    """
    described = inputs | {"images": f"{len(training)}, checksum {leaks.checksum(training.fingerprints)}"}
    work.check(workdir, wanted, described)
    restored = checkpoints.restore()
    begins_from = None if restored else source
    if begins_from:
        init_from.initialise(begins_from, learner.params, learner.state, averages=learner.optimizer.averages)
    elif source:
        log.info("%s goes on from its own checkpoint: --init-from was only for its beginning", workdir)
    work.start(workdir, wanted, described)
    leaks.remember(workdir, training.fingerprints)
    if begins_from:
        leaks.remember(workdir, begins_from.trained_on)
        restored = checkpoints.save(0)  # from now on the work folder is self-contained
    return f"from {restored}" if restored else "new"
