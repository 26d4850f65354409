"""Write the best checkpoint of a work folder as a SavedModel."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.files import whole_file
from trainer.inference import exported_folder, signatures
from trainer.inference.calibration import Calibration
from trainer.inference.exported_model import INFO_FILE
from trainer.inference.load import load_model, read_calibration
from trainer.inference.predictor import Predictor


def export(
    workdir: str, output: str, *, half: bool = False, tflite: bool = False, settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Writes the best checkpoint as a SavedModel with preprocessing, beam search and confidence inside.

    `signatures.signatures` says what it takes and returns. The confidence is calibrated where `trainer.evaluate
    --calibrate` was run.

    Args:
      workdir: what trainer.train made.
      output: the folder; a model that trainer.export wrote there is replaced.
      half: store the weights as float16; numbers are read in float32 in any case.
      tflite: also write `signatures.lite` as `assets.extra/model.tflite`.
      settings: see `load_model`.
    Returns:
      What it stores as the asset `model_info.json`: alphabet, longest number, step, fingerprint, calibration.
    Raises:
      UserError: there is no trained model in the work folder, its calibration is of another checkpoint or another
        way to read, or the output holds anything else or cannot be written.
    """
    exported_folder.check(output)
    wanted, recogniser, params, state, step = load_model(workdir, settings)
    if half:
        params = {path: tf.Variable(tf.cast(value, tf.float16), name=path) for path, value in params.items()}
    stored = read_calibration(workdir, step, wanted.decode)
    calibrated = Calibration(stored["temperature"], stored["offset"]) if stored else Calibration()
    predictor = Predictor(recogniser, params, state, wanted, calibrated)
    info = {
        "experiment": wanted.experiment,
        "step": step,
        "alphabet": wanted.model.alphabet,
        "alphabet_fingerprint": predictor.vocab.fingerprint,
        "max_length": wanted.model.max_length,
        "image_size": [wanted.model.image_height, wanted.model.image_width],
        "beam_width": wanted.decode.beam_width,
        "decode": dataclasses.asdict(wanted.decode),
        "fingerprint": fingerprint(params, state),
        "calibration": stored,
    }
    module = tf.Module()
    module.params, module.state = params, state

    def write(folder: str) -> None:
        described = f"{folder}.{INFO_FILE}/{INFO_FILE}"
        tf.io.gfile.makedirs(described.rpartition("/")[0])
        whole_file.write_json(described, info)
        module.info = tf.saved_model.Asset(described)
        tf.saved_model.save(module, folder, signatures.signatures(predictor))
        if tflite:
            tf.io.gfile.makedirs(f"{folder}/{exported_folder.TFLITE_FILE}".rpartition("/")[0])
            whole_file.write(f"{folder}/{exported_folder.TFLITE_FILE}", signatures.lite(predictor))

    exported_folder.replace(output, write)
    return info


def fingerprint(params: dict[str, Any], state: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that differ for different weights."""
    digest = hashlib.sha256()
    for values in (params, state):
        for path in sorted(values):
            digest.update(path.encode() + values[path].numpy().tobytes())
    return digest.hexdigest()[:12]
