"""Start a run with the weights of another, for fine-tuning: `trainer.train --init-from`."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from trainer import released
from trainer.cli import UserError
from trainer.data.pipeline import leakage
from trainer.workdir import checkpoint

log = logging.getLogger(__name__)

EXPORTED = "variables/variables"  # the checkpoint within a SavedModel


@dataclass(frozen=True)
class InitialWeights:
    """The source of initial weights.

    Attributes:
      checkpoint: its path, without `.index`.
      trained_on: the fingerprints of all images that it was ever trained on, int64 [M].
    """

    checkpoint: str
    trained_on: np.ndarray


def find(path: str) -> InitialWeights:
    """Return the weights at a path: a work folder (its best checkpoint, else its newest), a checkpoint, or a model that
    was exported or released, e.g. `released`.

    Raises:
      UserError: the path is none of these.
    """
    exported = f"{released.folder_of(path).rstrip('/')}/{EXPORTED}"
    candidates = (checkpoint.to_read(path.rstrip("/")), exported, path.removesuffix(".index"))
    prefix = next((found for found in candidates if found and tf.io.gfile.exists(f"{found}.index")), None)
    if prefix is None:
        raise UserError(
            f"--init-from {path}: this is neither a work folder with a checkpoint, nor a checkpoint or exported model: "
            "give e.g. runs/first, runs/first/checkpoints/ckpt-500, runs/first/export, or released"
        )
    trained_on = leakage.remembered(os.path.dirname(os.path.dirname(prefix)))
    if not len(trained_on):
        log.warning(
            "%s does not record what it was trained on, so validation images among that data cannot be detected", prefix
        )
    return InitialWeights(prefix, trained_on)


def initialise(
    source: InitialWeights,
    params: Mapping[str, tf.Variable],
    state: Mapping[str, tf.Variable],
    *,
    averages: Mapping[str, tf.Variable],
) -> None:
    """Copy all values whose path and shape match, moving averages if there are any, and log those that do not match.

    Args:
      source: where to copy from.
      params, state, averages: variables by path; the averages start as copies of the weights.
    Raises:
      UserError: no weight matches, or the checkpoint cannot be read.
    """
    try:
        reader = tf.train.load_checkpoint(source.checkpoint)
        shapes = reader.get_variable_to_shape_map()
        kind = "averages" if any(name.startswith("averages/") for name in shapes) else "params"
        variables = {_stored(kind, path): v for path, v in params.items()}
        variables |= {_stored("state", path): v for path, v in state.items()}
        misfits = {name: _misfit(v, shapes.get(name)) for name, v in variables.items()}
        values = {name: reader.get_tensor(name) for name, misfit in misfits.items() if not misfit}
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            f"--init-from: {source.checkpoint} cannot be read ({error}): give another checkpoint"
        ) from error
    if not any(name.startswith(f"{kind}/") for name in values):
        example = next(filter(None, misfits.values()))
        raise UserError(
            f"--init-from: no weight of {source.checkpoint} fits this model, e.g. {example}: "
            "give a run of the same model.name"
        )
    for name, value in values.items():
        variables[name].assign(value.astype(np.float32))  # an exported model may hold them as float16
    for path, average in averages.items():
        average.assign(params[path])
    what = "moving averages" if kind == "averages" else "weights"
    unused = sum(name.startswith((f"{kind}/", "state/")) for name in shapes.keys() - variables.keys())
    log.info("%d of %d variables initialised with %s of %s", len(values), len(variables), what, source.checkpoint)
    for misfit in filter(None, misfits.values()):
        log.info("newly initialised: %s", misfit)
    if unused:
        log.info("%d variables there are not used here", unused)


def _misfit(variable: tf.Variable, shape: list[int] | None) -> str:
    """Return why a stored value cannot be used; empty if it can."""
    if shape is None:
        return f"{variable.name.removesuffix(':0')} is missing there"
    if shape != variable.shape.as_list():
        return f"{variable.name.removesuffix(':0')} has the shape {shape} there, {variable.shape.as_list()} here"
    return ""


def _stored(kind: str, path: str) -> str:
    """Return the name of a variable in TensorFlow's object-based checkpoints, which escape slashes in keys."""
    return f"{kind}/{path.replace('.', '..').replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
