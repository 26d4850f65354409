"""Give an exported model that finds numbers another recogniser."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments
from trainer.inference.exports import exported_folder, photo_model
from trainer.inference.exports.exported_model import ExportedModel
from trainer.inference.load import LoadedFinder
from trainer.inference.photos.number_finder import NumberFinder
from trainer.inference.photos.region_calibration import RegionCalibration
from trainer.models.finder import PureFinder


def export(photos: ExportedModel, reader: ExportedModel, output: str) -> dict[str, Any]:
    """Write the finder of an exported model with another recogniser.

    The calibration of regions, fitted for the former recogniser, is kept as a first estimate, so the thresholds for
    target accuracies are left out. If the new recogniser is not calibrated, its probabilities are calibrated as those
    of the former one.

    Args:
      photos: a model that finds numbers.
      reader: the recogniser.
      output: the folder; a model that trainer.export wrote there is replaced.
    Returns:
      The content of the asset `model_info.json`.
    Raises:
      UserError: the first model finds no numbers, or the output contains anything else or cannot be written.
    """
    exported_folder.check(output)
    found, before = finder_of(photos), photos.info["calibration"]
    calibrated = RegionCalibration.from_json(before) if before else RegionCalibration()
    of_reader = photos.info["reader"]["calibration"]
    if of_reader and not reader.info["calibration"]:
        calibrated = including(calibrated, of_reader["temperature"], of_reader["offset"])
    stored = None
    if before:
        stored = {**before, **calibrated.to_json(), "reader": reader.info["fingerprint"], "thresholds": []}
    return photo_model.write(found, reader, output, calibrated, stored, half=True)


def including(regions: RegionCalibration, temperature: float, offset: float) -> RegionCalibration:
    """Return a calibration for uncalibrated probabilities, whose log odds it first scales and shifts."""
    read, found = regions.box
    one, two, more = (value + read * offset for value in regions.offsets)
    whole, best, constant = regions.whole
    return RegionCalibration(
        (read / temperature, found), (one, two, more), (whole / temperature, best, constant + whole * offset)
    )


def finder_of(photos: ExportedModel) -> LoadedFinder:
    """Return the finder of an exported model.

    Raises:
      UserError: it has none, or the architecture of the finder is not that of its experiment.
    """
    info = photos.info
    if "finder" not in info:
        raise UserError("this model finds no numbers: give one that trainer.export made of a finder and a recogniser")
    config = experiments.find(info["finder"]["experiment"])
    decode = (info["calibration"] or {}).get("decode", {})
    views = tuple(decode.get("views", config.decode.views))
    height, width = (round(side / max(views)) for side in info["finder"]["image_size"])
    config = replace(
        config,
        model=replace(config.model, image_height=height, image_width=width),
        decode=replace(config.decode, views=views),
    )
    network = PureFinder(config.model, seed=config.seed)
    params, state = dict(photos.loaded.params), dict(photos.loaded.state)
    shapes = {path: value.shape for path, value in {**network.params, **network.state}.items()}
    if shapes != {path: tuple(value.shape) for path, value in {**params, **state}.items()}:
        raise UserError("the finder of this model is not of the architecture of its experiment: export it again")
    whole = {path: tf.Variable(tf.cast(value, tf.float32), name=path) for path, value in params.items()}
    return LoadedFinder(NumberFinder(network, whole, state, config), info["finder"]["step"])
