"""Write the best checkpoint of a work folder as a SavedModel."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from trainer.files import whole_file
from trainer.inference.exports import exported_folder, signatures, warm_up
from trainer.inference.exports.exported_model import CHECKSUMS, INFO_FILE, ONNX_FILE, crc32c
from trainer.inference.load import load_model, read_calibration
from trainer.inference.measuring.calibration import Calibration
from trainer.inference.predictor import Predictor


def export(
    workdir: str,
    output: str,
    *,
    half: bool = False,
    tflite: bool = False,
    onnx: bool = False,
    serving: bool = False,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the best checkpoint as a SavedModel that includes preprocessing, beam search and confidence.

    `signatures.signatures` documents its inputs and outputs. The confidence is calibrated if `trainer.evaluate
    --calibrate` was run.

    Args:
      workdir: a work folder of trainer.train.
      output: the folder; a model that trainer.export wrote there is replaced.
      half: store the weights as float16; the computation is in float32 in any case.
      tflite: also write `signatures.lite` as `assets.extra/model.tflite`.
      onnx: also write `onnx_export.of_recogniser`.
      serving: also write `warm_up.requests`.
      settings: see `load_model`.
    Returns:
      The content of the asset `model_info.json`: alphabet, maximum length, step, fingerprint, calibration.
    Raises:
      UserError: the work folder has no trained model, its calibration is for another checkpoint or other decode
        settings, or the output contains anything else or cannot be written.
    """
    exported_folder.check(output)
    config, recogniser, params, state, step = load_model(workdir, settings)
    if half:
        params = {path: tf.Variable(tf.cast(value, tf.float16), name=path) for path, value in params.items()}
    stored = read_calibration(workdir, step, config.decode)
    calibrated = Calibration(stored["temperature"], stored["offset"]) if stored else Calibration()
    predictor = Predictor(recogniser, params, state, config, calibrated)
    info = {
        "experiment": config.experiment,
        "step": step,
        "alphabet": config.model.alphabet,
        "alphabet_fingerprint": predictor.vocab.fingerprint,
        "max_length": config.model.max_length,
        "image_size": [config.model.image_height, config.model.image_width],
        "beam_width": config.decode.beam_width,
        "decode": dataclasses.asdict(config.decode),
        "fingerprint": fingerprint(params, state),
        "calibration": stored,
    }
    module = tf.Module()
    module.params, module.state = params, state

    extras = _extras(predictor, info, half=half, tflite=tflite, onnx=onnx, serving=serving)
    write(output, module, signatures.signatures(predictor), info, extras)
    return info


def _extras(
    predictor: Predictor, info: dict[str, Any], *, half: bool, tflite: bool, onnx: bool, serving: bool
) -> dict[str, Callable[[], bytes]]:
    """Return a function that makes the content of each further file, by its path in the model; see `export`."""
    extras: dict[str, Callable[[], bytes]] = {}
    if tflite:
        extras[exported_folder.TFLITE_FILE] = lambda: signatures.lite(predictor)
    if onnx:
        from trainer.inference.exports import onnx_export  # needs the extra `onnx`

        extras[ONNX_FILE] = lambda: onnx_export.of_recogniser(predictor, info, half=half)
    if serving:
        height, width = info["image_size"]
        extras[warm_up.FILE] = lambda: warm_up.requests((height, width))
    return extras


def write(
    output: str,
    module: tf.Module,
    found: dict[str, Any],
    info: dict[str, Any],
    extras: Mapping[str, Callable[[], bytes]] = MappingProxyType({}),
) -> None:
    """Write a module as a SavedModel.

    Args:
      output: the folder; a model that trainer.export wrote there is replaced.
      module: holds the variables.
      found: the signatures by name.
      info: the content of the asset `model_info.json`.
      extras: further files, by their path in the model.
    Raises:
      UserError: the output contains anything else or cannot be written.
    """

    def write_into(folder: str) -> None:
        described = f"{folder}.{INFO_FILE}/{INFO_FILE}"
        tf.io.gfile.makedirs(described.rpartition("/")[0])
        whole_file.write_json(described, info)
        module.info = tf.saved_model.Asset(described)
        tf.saved_model.save(module, folder, found)
        _leave_out_shapes(folder)
        tf.io.gfile.makedirs(f"{folder}/assets.extra")
        for path, content in extras.items():
            whole_file.write(f"{folder}/{path}", content())
        whole_file.write_json(f"{folder}/{CHECKSUMS}", checksums(folder))

    exported_folder.replace(output, write_into)


def _leave_out_shapes(folder: str) -> None:
    """Remove the shapes of all values from a graph, a sixth of its size: TensorFlow infers them when it loads it.

    TensorFlow's optional fingerprint, a checksum of the graph before, goes with them.
    """
    path = f"{folder}/saved_model.pb"
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.attr.pop("_output_shapes", None)
    whole_file.write(path, model.SerializeToString(deterministic=True))
    if tf.io.gfile.exists(f"{folder}/fingerprint.pb"):
        tf.io.gfile.remove(f"{folder}/fingerprint.pb")


def checksums(folder: str) -> dict[str, str]:
    """Return the CRC-32C of every file in a folder, by its path in the folder."""
    found = {}
    for place, _, names in tf.io.gfile.walk(folder):
        for name in names:
            path = f"{place.rstrip('/')}/{name}"  # in a bucket, places end in a slash
            found[path[len(folder) + 1 :]] = crc32c(whole_file.read(path, advice="") or b"")
    return found


def fingerprint(params: dict[str, Any], state: dict[str, Any]) -> str:
    """Return twelve hexadecimal digits that differ for different weights."""
    digest = hashlib.sha256()
    for values in (params, state):
        for path in sorted(values):
            digest.update(path.encode() + values[path].numpy().tobytes())
    return digest.hexdigest()[:12]
