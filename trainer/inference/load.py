"""Load the model and the calibration of a work folder."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.cli import UserError
from trainer.config import schema
from trainer.config.schema import Config, Decode
from trainer.files import whole_file
from trainer.models.recogniser import PureRecogniser
from trainer.workdir import checkpoint, files


def read_calibration(workdir: str, step: int, reading: Decode) -> dict[str, Any] | None:
    """Return the calibration stored by `trainer.evaluate --calibrate` for this step and decoding, None if it never ran.

    Raises:
      UserError: it is corrupt, or for another step or other decode settings.
    """
    path, again = f"{workdir}/{files.CALIBRATION_FILE}", "run trainer.evaluate --calibrate again"
    stored = whole_file.read_json(path, advice=f"{again}, or delete it")
    if stored is None:
        return None
    if missing := [name for name in ("step", "temperature", "offset", "thresholds") if name not in stored]:
        raise UserError(f"{path} lacks {', '.join(missing)}: {again}, or delete it")
    if stored["step"] != step:
        raise UserError(
            f"{path} is for step {stored['step']}, but the best checkpoint is from step {step}: {again}, or delete it"
        )
    if stored.get("decode") != json.loads(json.dumps(dataclasses.asdict(reading))):
        raise UserError(
            f"{path} is for other decode settings, {stored.get('decode')}: {again} with the same --set, or delete it"
        )
    return stored


Loaded = tuple[Config, PureRecogniser, dict[str, tf.Variable], dict[str, tf.Variable], int]


def load_model(workdir: str, settings: Sequence[str] = ()) -> Loaded:
    """Load the model of a work folder for inference: its best checkpoint, or else its newest.

    Args:
      workdir: a work folder of trainer.train.
      settings: `--set` values of `decode` that override the configured ones.
    Returns:
      The config; the recogniser; its parameters and its state, by path; the step they are from.
    Raises:
      UserError: the work folder or its checkpoint is missing, or a setting is not of `decode`.
    """
    if trained := [setting for setting in settings if not setting.startswith("decode.")]:
        raise UserError(f"--set {trained[0]}: a trained model only accepts decode settings, e.g. decode.beam_width=5")
    checkpoint.check_name(workdir, "--workdir")
    wanted = schema.override(files.read_config(workdir), list(settings))
    paths = checkpoint.in_order_to_read(workdir)
    if not paths:
        raise UserError(f"{workdir} has no checkpoint yet: train it with trainer.train first")
    recogniser = PureRecogniser(wanted.model, seed=wanted.seed, precision=wanted.precision)
    params = {name: tf.Variable(value, name=name) for name, value in recogniser.params.items()}
    state = {name: tf.Variable(value, name=name) for name, value in recogniser.state.items()}
    step = tf.Variable(0, dtype=tf.int64)
    weights = {"averages": params} if wanted.optimizer.ema_decay else {"params": params}
    reading = tf.train.Checkpoint(state=state, step=step, **weights)
    try:
        checkpoint.read_first(reading, paths)
    except checkpoint.UnreadableCheckpoint as error:
        raise UserError(str(error)) from error
    return wanted, recogniser, params, state, int(step.numpy())
