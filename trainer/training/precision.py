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

    Until the chief has begun the run, each task of a cluster chooses for itself, so on different machines the choices
    may differ.
    """
    if config.precision != "auto":
        return config
    try:
        return replace(config, precision=files.read_config(workdir).precision)
    except UserError:  # a new run, or a damaged config, which the run rewrites
        found = replace(config, precision="mixed_bfloat16" if bfloat16.is_faster() else "float32")
        log.info("precision=%s: the faster one on this machine", found.precision)
        return found
