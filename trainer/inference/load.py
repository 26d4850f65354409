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
from trainer.inference.photos.number_finder import NumberFinder
from trainer.models.finder import PureFinder
from trainer.models.pure import PureNetwork
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
    if complete(stored.get("decode", {})) != as_json(reading):
        raise UserError(
            f"{path} is for other decode settings, {stored.get('decode')}: {again} with the same --set, or delete it"
        )
    return stored


def as_json(decode: Decode) -> dict[str, Any]:
    """Return decode settings as they look after a round trip through JSON."""
    return json.loads(json.dumps(dataclasses.asdict(decode)))


def complete(stored: dict[str, Any]) -> dict[str, Any]:
    """Return stored decode settings, with defaults for settings that an earlier version did not have."""
    return as_json(Decode()) | stored


Weights = dict[str, tf.Variable]
Loaded = tuple[Config, PureRecogniser, Weights, Weights, int]


def load_model(workdir: str, settings: Sequence[str] = (), precision: str = "float32") -> Loaded:
    """Load the model of a work folder for inference: its best checkpoint, or else its newest.

    Args:
      workdir: a work folder of trainer.train.
      settings: `--set` values of `decode` that override the configured ones.
      precision: in which it computes, whatever it was trained in: an export must run on every CPU.
    Returns:
      The config; the recogniser; its parameters and its state, by path; the step they are from.
    Raises:
      UserError: the work folder or its checkpoint is missing, or a setting is not of `decode`.
    """
    config = _config(workdir, settings)
    if config.model.finds:
        raise UserError(f"{workdir} holds a finder: give the work folder of a recogniser")
    recogniser = PureRecogniser(config.model, seed=config.seed, precision=precision)
    return config, recogniser, *_read(workdir, config, recogniser)


def _config(workdir: str, settings: Sequence[str]) -> Config:
    """Return the config of a work folder with other decode settings.

    Raises:
      UserError: the work folder is missing, or a setting is not of `decode`.
    """
    if trained := [setting for setting in settings if not setting.startswith("decode.")]:
        raise UserError(f"--set {trained[0]}: a trained model only accepts decode settings, e.g. decode.beam_width=5")
    checkpoint.check_name(workdir, "--workdir")
    return schema.override(files.read_config(workdir), list(settings))


def _read(workdir: str, config: Config, network: PureNetwork) -> tuple[Weights, Weights, int]:
    """Return the parameters and the state of the best checkpoint, or else the newest, and its step.

    Raises:
      UserError: there is none, or none can be read.
    """
    paths = checkpoint.in_order_to_read(workdir)
    if not paths:
        raise UserError(f"{workdir} has no checkpoint yet: train it with trainer.train first")
    params = {name: tf.Variable(value, name=name) for name, value in network.params.items()}
    state = {name: tf.Variable(value, name=name) for name, value in network.state.items()}
    step = tf.Variable(0, dtype=tf.int64)
    weights = {"averages": params} if config.optimizer.ema_decay else {"params": params}
    reading = tf.train.Checkpoint(state=state, step=step, **weights)
    try:
        checkpoint.read_first(reading, paths)
    except checkpoint.UnreadableCheckpoint as error:
        raise UserError(str(error)) from error
    return params, state, int(step.numpy())


@dataclasses.dataclass(frozen=True)
class LoadedFinder:
    """A finder of a work folder, and the step that its weights are from."""

    finder: NumberFinder
    step: int

    @property
    def decode(self) -> dict[str, Any]:
        """The decode settings, as `as_json` returns them."""
        return as_json(self.finder.config.decode)


def load_finder(workdir: str, settings: Sequence[str] = ()) -> LoadedFinder:
    """Load a finder for inference, as `load_model` does a recogniser.

    Raises:
      UserError: as `load_model`, or the work folder holds a recogniser.
    """
    config = _config(workdir, settings)
    if not config.model.finds:
        raise UserError(f"{workdir} holds a recogniser, {config.experiment}: give the work folder of a finder")
    network = PureFinder(config.model, seed=config.seed)
    params, state, step = _read(workdir, config, network)
    return LoadedFinder(NumberFinder(network, params, state, config), step)


def read_region_calibration(workdir: str, found: LoadedFinder, reader: str) -> dict[str, Any] | None:
    """Return what `evaluate` stored about the confidence of regions, None if it never ran with `calibrate`.

    Args:
      workdir: of the finder.
      found: the finder.
      reader: the fingerprint of the recogniser.
    Raises:
      UserError: it is corrupt, or for another step, another reader or other decode settings.
    """
    path, again = f"{workdir}/{files.CALIBRATION_FILE}", "run trainer.evaluate --calibrate again"
    stored = whole_file.read_json(path, advice=f"{again}, or delete it")
    if stored is None:
        return None
    if not {"step", "reader", "decode", "box", "offsets", "whole"} <= stored.keys():
        raise UserError(f"{path} is not a finder's calibration: {again}, or delete it")
    if [stored["step"], stored["reader"], complete(stored["decode"])] != [found.step, reader, found.decode]:
        raise UserError(f"{path} is for another checkpoint, another --reader or other --set: {again}, or delete it")
    return stored
