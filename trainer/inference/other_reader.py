"""Give an exported model that finds numbers another recogniser."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from trainer.cli import UserError
from trainer.config import experiments
from trainer.inference import exported_folder, photo_model
from trainer.inference.exported_model import ExportedModel
from trainer.inference.load import LoadedFinder
from trainer.inference.number_finder import NumberFinder
from trainer.inference.region_calibration import RegionCalibration
from trainer.models.finder import PureFinder


def export(photos: ExportedModel, reader: ExportedModel, output: str) -> dict[str, Any]:
    """Write the finder of an exported model with another recogniser.

    The confidence of regions is still that of the former recogniser, as a first estimate, so the thresholds for target
    accuracies are left out.

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
    calibration = photos.info["calibration"]
    stored = None
    if calibration:
        stored = {**calibration, "reader": reader.info["fingerprint"], "thresholds": []}
    calibrated = RegionCalibration.from_json(calibration) if calibration else RegionCalibration()
    return photo_model.write(finder_of(photos), reader, output, calibrated, stored, half=True)


def finder_of(photos: ExportedModel) -> LoadedFinder:
    """Return the finder of an exported model.

    Raises:
      UserError: it has none, or one of another architecture than that of its experiment.
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
    network = PureFinder(config.model, seed=config.seed, precision=config.precision)
    params, state = dict(photos.loaded.params), dict(photos.loaded.state)
    shapes = {path: value.shape for path, value in {**network.params, **network.state}.items()}
    if shapes != {path: tuple(value.shape) for path, value in {**params, **state}.items()}:
        raise UserError("the finder of this model is not of the architecture of its experiment: export it again")
    whole = {path: tf.Variable(tf.cast(value, tf.float32), name=path) for path, value in params.items()}
    return LoadedFinder(NumberFinder(network, whole, state, config), info["finder"]["step"])
