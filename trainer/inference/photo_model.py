"""Write a finder and the recogniser that reads what it finds as one SavedModel."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.inference import exported_folder, saved_model
from trainer.inference.exported_model import ExportedModel
from trainer.inference.load import load_finder
from trainer.inference.number_finder import NumberFinder
from trainer.inference.photo_evaluation import read_region_calibration
from trainer.inference.photo_reader import MOST_REGIONS, PhotoReader
from trainer.inference.region_calibration import RegionCalibration


def export(
    workdir: str, output: str, reader: ExportedModel, *, half: bool = False, settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the best checkpoint of a finder, and a recogniser, as a SavedModel: photos in, numbers out.

    Its signature `serving_default` takes what that of a recogniser takes, see `signatures.signatures`, and returns what
    `PhotoReader.read` does; `whole` is the recogniser's own, which reads each image as a whole. The confidence is
    calibrated if `trainer.evaluate --calibrate` was run with this recogniser.

    Args:
      workdir: a finder's work folder.
      output: the folder; a model that trainer.export wrote there is replaced.
      reader: the recogniser.
      settings: see `load_finder`.
      half: store the finder's weights as float16; the computation is in float32 in any case.
    Returns:
      The content of the asset `model_info.json`.
    Raises:
      UserError: the work folder has no trained finder, its calibration is for another checkpoint or recogniser, or the
        output contains anything else or cannot be written.
    """
    exported_folder.check(output)
    found = load_finder(workdir, settings)
    finder, config = found.finder, found.finder.config
    params, state = dict(finder.params), dict(finder.state)
    if half:
        params = {path: tf.Variable(tf.cast(value, tf.float16), name=path) for path, value in params.items()}
        finder = NumberFinder(finder.network, params, state, config)
    stored = read_region_calibration(workdir, found, reader)
    calibrated = RegionCalibration.from_json(stored) if stored else RegionCalibration()
    photos = PhotoReader(finder, reader.decoded, reader.image_size, calibrated, most=MOST_REGIONS)
    info = {
        **reader.info,
        "finder": {
            "experiment": config.experiment,
            "step": found.step,
            "image_size": list(finder.input_size),
            "fingerprint": saved_model.fingerprint(params, state),
        },
        "calibration": stored,
        "image_size": list(finder.input_size),
        "step": found.step,
        "reader": {"fingerprint": reader.info["fingerprint"], "calibration": reader.info["calibration"]},
        "fingerprint": saved_model.fingerprint(params, state)[:6] + reader.info["fingerprint"][:6],
    }
    module = tf.Module()
    module.params, module.state = params, state
    module.reader = [reader.loaded.params, reader.loaded.state]  # not all of it: it has a `model_info.json` of its own
    files = tf.TensorSpec([None], tf.string, name="images")
    sizes = (tf.TensorSpec([], tf.int32, name="beam_width"), tf.TensorSpec([], tf.int32, name="candidates"))
    read = graph.compiled(photos.read, input_signature=[files, *sizes])
    found_signatures = {"serving_default": read, "whole": reader.loaded.signatures["serving_default"]}
    saved_model.write(output, module, found_signatures, info)
    return info
