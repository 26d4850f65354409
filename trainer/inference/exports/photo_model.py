"""Write a finder and the recogniser that reads what it finds as one SavedModel."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.cli import UserError
from trainer.inference.decoding import beam_width
from trainer.inference.exports import exported_folder, saved_model, signatures, warm_up
from trainer.inference.exports.exported_model import ONNX_FILE, ExportedModel
from trainer.inference.load import LoadedFinder, load_finder, read_region_calibration
from trainer.inference.photos.number_finder import NumberFinder
from trainer.inference.photos.photo_reader import MOST_REGIONS, PhotoReader, of_strings, of_tokens
from trainer.inference.photos.region_calibration import RegionCalibration


def export(
    workdir: str,
    output: str,
    reader: ExportedModel,
    *,
    half: bool = False,
    onnx: bool = False,
    serving: bool = False,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the best checkpoint of a finder, and a recogniser, as a SavedModel: photos in, numbers out.

    Its signatures `serving_default` and `images` take what those of a recogniser take, see `signatures.signatures`, and
    return what `PhotoReader.read` does; `whole` is the recogniser's own, which reads each image as a whole. The
    confidence is calibrated if `trainer.evaluate --calibrate` was run with this recogniser.

    Args:
      workdir: a finder's work folder.
      output: the folder; a model that trainer.export wrote there is replaced.
      reader: the recogniser.
      settings: see `load_finder`.
      half: store the finder's weights as float16; the computation is in float32 in any case.
      onnx: also write `onnx_export.of_photos`.
      serving: also write `warm_up.requests`.
    Returns:
      The content of the asset `model_info.json`.
    Raises:
      UserError: the work folder has no trained finder, its calibration is for another checkpoint or recogniser, the
        recogniser is too old for `onnx`, or the output contains anything else or cannot be written.
    """
    exported_folder.check(output)
    if onnx and "fitted" not in reader.loaded.signatures:
        raise UserError("--reader was exported by an older version, without what --onnx needs: export it again")
    found = load_finder(workdir, settings)
    stored = read_region_calibration(workdir, found, reader.info["fingerprint"])
    calibrated = RegionCalibration.from_json(stored) if stored else RegionCalibration()
    return write(found, reader, output, calibrated, stored, half=half, onnx=onnx, serving=serving)


def write(
    found: LoadedFinder,
    reader: ExportedModel,
    output: str,
    calibrated: RegionCalibration,
    stored: dict[str, Any] | None,
    *,
    half: bool,
    onnx: bool = False,
    serving: bool = False,
) -> dict[str, Any]:
    """Write a finder and a recogniser as a SavedModel; see `export`.

    Args:
      found: the finder.
      reader, output, half, onnx, serving: as there.
      calibrated: combines what both say about a region into a confidence.
      stored: how `model_info.json` describes `calibrated`.
    """
    finder, config = found.finder, found.finder.config
    params, state = dict(finder.params), dict(finder.state)
    if half:
        params = {path: tf.Variable(tf.cast(value, tf.float16), name=path) for path, value in params.items()}
        finder = NumberFinder(finder.network, params, state, config)
    photos = PhotoReader(finder, of_strings(reader.fitted), reader.image_size, calibrated, most=MOST_REGIONS)
    info = _info(found, reader, stored, saved_model.fingerprint(params, state))
    module = tf.Module()
    module.params, module.state = params, state
    module.reader = [reader.loaded.params, reader.loaded.state]  # not all of it: it has a `model_info.json` of its own
    files = tf.TensorSpec([None], tf.string, name="images")
    sizes = (tf.TensorSpec([], tf.int32, name="beam_width"), tf.TensorSpec([], tf.int32, name="candidates"))
    configured = reader.info["beam_width"]
    width = beam_width.width_for(configured)
    read = graph.compiled(photos.read, input_signature=[files, *sizes])

    def alone(images):
        return signatures.of_candidates(read(images, tf.constant(width), tf.constant(configured)), configured)

    found_signatures = {
        "serving_default": read,
        "images": graph.compiled(alone, input_signature=[files]),
        "whole": reader.loaded.signatures["serving_default"],
    }
    extras = _extras(finder, reader, calibrated, info, half=half, onnx=onnx, serving=serving)
    saved_model.write(output, module, found_signatures, info, extras)
    return info


def _extras(
    finder: NumberFinder,
    reader: ExportedModel,
    calibrated: RegionCalibration,
    info: dict[str, Any],
    *,
    half: bool,
    onnx: bool,
    serving: bool,
) -> dict[str, Callable[[], bytes]]:
    """Return a function that makes the content of each further file, by its path in the model; see `export`."""
    extras: dict[str, Callable[[], bytes]] = {}
    if onnx:
        from trainer.inference.exports import onnx_export  # needs the extra `onnx`

        by_tokens = of_tokens(reader.fitted, end=len(info["alphabet"]))
        photos = PhotoReader(finder, by_tokens, reader.image_size, calibrated, most=MOST_REGIONS)
        extras[ONNX_FILE] = lambda: onnx_export.of_photos(photos, info, half=half)
    if serving:
        extras[warm_up.FILE] = lambda: warm_up.requests(finder.input_size)
    return extras


def _info(
    found: LoadedFinder, reader: ExportedModel, stored: dict[str, Any] | None, fingerprint: str
) -> dict[str, Any]:
    """Return the content of `model_info.json`; `fingerprint` is that of the finder's weights."""
    image_size = list(found.finder.input_size)
    finder = {"experiment": found.finder.config.experiment, "step": found.step, "image_size": image_size}
    return {
        **reader.info,
        "finder": {**finder, "fingerprint": fingerprint},
        "calibration": stored,
        "image_size": image_size,
        "step": found.step,
        "reader": {"fingerprint": reader.info["fingerprint"], "calibration": reader.info["calibration"]},
        "fingerprint": fingerprint[:6] + reader.info["fingerprint"][:6],
    }
