"""Load whatever can read images: a model of the package, an exported one, or a work folder."""

import tempfile

from trainer import released
from trainer.config.schema import CONFIG_FILE
from trainer.inference import exported_model
from trainer.inference.exported_model import ExportedModel


def load(model: str) -> ExportedModel:
    """Load a model by its name or folder; from a work folder, load what `trainer.export` would export.

    Raises:
      UserError: it is missing or damaged, or a work folder without a trained model.
    """
    import tensorflow as tf

    from trainer.inference import photo_model, saved_model  # they import TensorFlow
    from trainer.workdir import files

    folder = released.folder_of(model)
    if not tf.io.gfile.exists(f"{folder}/{CONFIG_FILE}"):
        return exported_model.load(folder)
    with tempfile.TemporaryDirectory() as scratch:
        output = f"{scratch}/export"
        if files.read_config(folder).model.finds:
            photo_model.export(folder, output, exported_model.load(released.folder_of(released.FAST)))
        else:
            saved_model.export(folder, output)
        return exported_model.load(output)
