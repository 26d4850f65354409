"""Load whatever can read images: a released model, an exported one, or the model of a work folder."""

import os
import tempfile

from trainer import released
from trainer.cluster import environment
from trainer.config.schema import CONFIG_FILE
from trainer.files import first_contact
from trainer.inference.exports import exported_model, onnx_model
from trainer.inference.exports.exported_model import ONNX_FILE, ExportedModel
from trainer.inference.exports.onnx_model import OnnxModel
from trainer.inference.photos.region_options import FLOAT32, ONNX

Model = ExportedModel | OnnxModel


def load(model: str, engine: str | None = None, precision: str = FLOAT32) -> Model:
    """Load a model by its name or folder; from a work folder, load what `trainer.export` would export.

    Args:
      model: its name or folder.
      engine: what computes, `onnx` or `tensorflow`; by default ONNX Runtime, which starts ten seconds sooner, if the
        model is in a local folder and was exported with `--onnx`.
      precision: for TensorFlow, see `exported_model.load`.
    Raises:
      UserError: it is missing or damaged, its bucket does not answer, it is a work folder without a trained model, or
        it lacks the file that the engine needs.
    """
    folder = released.folder_of(model)
    if "://" in folder:
        environment.import_tensorflow()
        first_contact.check_bucket("the model", folder, environment.outage_status())
    if engine == ONNX or (engine is None and os.path.isfile(os.path.join(folder, ONNX_FILE))):
        return onnx_model.load(folder)
    return _load_with_tensorflow(folder, precision)


def _load_with_tensorflow(folder: str, precision: str) -> ExportedModel:
    environment.import_tensorflow()
    import tensorflow as tf

    from trainer.inference.exports import photo_model, saved_model  # they import TensorFlow
    from trainer.workdir import files

    if not tf.io.gfile.exists(f"{folder}/{CONFIG_FILE}"):
        return exported_model.load(folder, precision)
    with tempfile.TemporaryDirectory() as scratch:
        output = f"{scratch}/export"
        if files.read_config(folder).model.finds:
            photo_model.export(folder, output, exported_model.load(released.folder_of(released.FAST)))
        else:
            saved_model.export(folder, output)
        return exported_model.load(output, precision)
