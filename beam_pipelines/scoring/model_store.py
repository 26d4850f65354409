"""Find an exported model in any store that Beam supports, and load it in a worker."""

import json
import os
import shutil
import tempfile
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing
from trainer import released
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.files import local_file
from trainer.inference.exports import exported_model
from trainer.inference.exports.exported_model import GRAPH, INFO_PATH, ExportedModel
from trainer.inference.photos import region_options


def read_info(model: str) -> dict[str, Any]:
    """Return the metadata of an exported model, after checking that the model is complete.

    Raises:
      UserError: the model is missing, damaged, or was exported by an older version.
    """
    exported_model.check_files(model, lambda path: _read(model, path))
    return exported_model.parse_info(_read(model, INFO_PATH) or b"", model)


def checksum(model: str, info: dict[str, Any]) -> str:
    """Return a CRC-32C of everything that determines the answers of an exported model.

    That is its metadata (the fingerprint of its weights, its calibration) and its graph.
    """
    graph = google_crc32c.value(_read(model, GRAPH) or b"")
    return f"{google_crc32c.extend(graph, json.dumps(info, sort_keys=True).encode()):08x}"


def _read(model: str, path: str) -> bytes | None:
    whole = FileSystems.join(released.folder_of(model), *path.split("/"))
    try:
        if "://" not in whole:
            local_file.check_regular(whole)
        elif not listing.exists(whole):
            return None
        with FileSystems.open(whole, compression_type="uncompressed") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
    except local_file.NotAFile as error:
        raise UserError(f"{model}/{path} cannot be read: {error}; export the model again") from error


def threshold(model: str, info: dict[str, Any], accuracy: float) -> float:
    """Return the confidence above which answers had that accuracy when the model was calibrated.

    Raises:
      UserError: the model was not calibrated, or the accuracy was not measured or not reached.
    """
    if not (info["calibration"] and info["calibration"]["thresholds"]):
        raise UserError(
            f"--target-accuracy: {model} is not calibrated: run trainer.evaluate --calibrate and trainer.export again, "
            "or give --min-confidence"
        )
    measured = {row["accuracy"]: row["confidence"] for row in info["calibration"]["thresholds"]}
    if accuracy not in measured:
        listed = ", ".join(f"{known:g}" for known in measured)
        raise UserError(f"--target-accuracy {accuracy:g}: the model's thresholds are for {listed}; choose one")
    if measured[accuracy] is None:
        raise UserError(f"--target-accuracy {accuracy:g}: no confidence of this model reached it; choose a lower one")
    return measured[accuracy]


def load(path: str, precision: str = region_options.FLOAT32) -> ExportedModel:
    """Load the model; a remote one from a local copy made by Beam, which supports more stores than TensorFlow.

    Args:
      path: the model.
      precision: see `exported_model.load`.
    Raises:
      UserError: the model does not exist, or was exported by an older version.
    """
    environment.quiet_tensorflow()
    with environment.native_stderr():
        return _load(path, precision)


def _load(path: str, precision: str) -> ExportedModel:
    path = released.folder_of(path)  # in this worker's package, which may be at another path than the driver's
    if "://" not in path:
        return exported_model.load(path, precision)
    with tempfile.TemporaryDirectory() as folder:
        for file in listing.below(path, on_error=lambda _: None):
            local = os.path.join(folder, file.path[len(path.rstrip("/")) + 1 :])
            os.makedirs(os.path.dirname(local), exist_ok=True)
            with FileSystems.open(file.path, compression_type="uncompressed") as source, open(local, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        return exported_model.load(folder, precision)
