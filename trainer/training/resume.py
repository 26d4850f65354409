"""Start or resume a run: initialise its variables, and record the run in its work folder."""

import logging
from typing import Any

from trainer.config.schema import Config
from trainer.data.pipeline import leakage
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.training.train_state import TrainState
from trainer.workdir import checkpoint, files, warm_start
from trainer.workdir.warm_start import InitialWeights

log = logging.getLogger(__name__)


def resume(
    config: Config,
    workdir: str,
    train_state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    training: LabelledImages,
    source: InitialWeights | None,
    *,
    inputs: dict[str, Any],
) -> str:
    """Initialise a train state from the newest checkpoint, else from the source; return where its values come from.

    Nothing is written before this has succeeded.

    Args:
      config: the config.
      workdir: the work folder.
      train_state: receives the values.
      checkpoints: those of the work folder.
      training: the images to train on.
      source: the weights of another run, for a new work folder only.
      inputs: the folders of the images, by option name.
    Raises:
      UserError: the work folder contains another model, or no weight of the source matches.
      checkpoint.UnreadableCheckpoint: checkpoints exist, but none of them can be read.
    """
    described = inputs | {"images": f"{len(training)}, checksum {leakage.checksum(training.fingerprints)}"}
    files.check(workdir, config, described)
    restored = checkpoints.restore()
    begins_from = None if restored else source
    if begins_from:
        warm_start.initialise(
            begins_from, train_state.params, train_state.state, averages=train_state.optimizer.averages
        )
    elif source:
        log.info("%s resumes from its own checkpoint: --init-from only applies to a new work folder", workdir)
    files.start(workdir, config, described)
    leakage.remember(workdir, training.fingerprints)
    if begins_from:
        leakage.remember(workdir, begins_from.trained_on)
        restored = checkpoints.save(0)  # from now on the work folder is self-contained
    return f"from {restored}" if restored else "newly initialised"
