"""Starts or resumes a run: the values that a learner begins with, and what the work folder says about the run."""

import logging
from typing import Any

from trainer.config.schema import Config
from trainer.data import leakage
from trainer.data.input_pipeline import LabelledImages
from trainer.training.train_state import TrainState
from trainer.workdir import checkpoint, files, warm_start
from trainer.workdir.warm_start import InitialWeights

log = logging.getLogger(__name__)


def resume(
    wanted: Config,
    workdir: str,
    train_state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    training: LabelledImages,
    source: InitialWeights | None,
    *,
    inputs: dict[str, Any],
) -> str:
    """Give a learner the values of the newest checkpoint, else those of the source, and return where they are from.

    Nothing is written before all of that has worked.

    Args:
      wanted: the configuration.
      workdir: the work folder.
      train_state: what gets the values.
      checkpoints: those of the work folder.
      training: the images to train on.
      source: the weights of another run, for a new work folder only.
      inputs: the folders that the images are from, by the names of the options.
    Raises:
      UserError: the work folder holds another model, or no weight of the source fits.
      checkpoint.UnreadableCheckpoint: there are checkpoints, and none of them can be read.
    """
    described = inputs | {"images": f"{len(training)}, checksum {leakage.checksum(training.fingerprints)}"}
    files.check(workdir, wanted, described)
    restored = checkpoints.restore()
    begins_from = None if restored else source
    if begins_from:
        warm_start.initialise(
            begins_from, train_state.params, train_state.state, averages=train_state.optimizer.averages
        )
    elif source:
        log.info("%s goes on from its own checkpoint: --init-from was only for its beginning", workdir)
    files.start(workdir, wanted, described)
    leakage.remember(workdir, training.fingerprints)
    if begins_from:
        leakage.remember(workdir, begins_from.trained_on)
        restored = checkpoints.save(0)  # from now on the work folder is self-contained
    return f"from {restored}" if restored else "new"
