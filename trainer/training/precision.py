"""Choose the precision of a run that leaves it to the machine."""

import logging
from dataclasses import replace

from trainer import bfloat16
from trainer.cli import UserError
from trainer.config.schema import Config
from trainer.workdir import files

log = logging.getLogger(__name__)


def chosen(config: Config, workdir: str) -> Config:
    """Return the config with `auto` replaced: by the precision of the run if it has begun, else by the faster one.

    Each task of a cluster chooses for itself until the chief has begun the run. If its machines differ, so may they.
    """
    if config.precision != "auto":
        return config
    try:
        return replace(config, precision=files.read_config(workdir).precision)
    except UserError:  # a new run, or a damaged config, which the run rewrites
        found = replace(config, precision="mixed_bfloat16" if bfloat16.is_faster() else "float32")
        log.info("precision=%s: the faster one on this machine", found.precision)
        return found
