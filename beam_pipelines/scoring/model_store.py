"""Find an exported model in any store that Beam knows, and load it in a worker."""

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
from trainer.inference import exported_model
from trainer.inference.exported_model import GRAPH, INFO_PATH, ExportedModel


def read_info(model: str) -> dict[str, Any]:
    """Return what the exported model says of itself.

    Raises:
      UserError: there is no such model, or it is of an older version.
    """
    path = FileSystems.join(released.folder_of(model), *INFO_PATH.split("/"))
    if not FileSystems.exists(path):
        raise UserError(f"{model} has no {INFO_PATH}: it is no model of trainer.export")
    with FileSystems.open(path) as file:
        return exported_model.parse_info(file.read(), model)


def checksum(model: str, info: dict[str, Any]) -> str:
    """Return a CRC-32C of all that decides the answers of an exported model.

    That is what it says of itself (the fingerprint of its weights, its calibration), and its graph, which reads them.

    Raises:
      UserError: it has no graph.
    """
    path = FileSystems.join(released.folder_of(model), GRAPH)
    if not FileSystems.exists(path):
        raise UserError(f"{model} has no {GRAPH}: the export is not complete; export it again")
    with FileSystems.open(path) as file:
        graph = google_crc32c.value(file.read())
    return f"{google_crc32c.extend(graph, json.dumps(info, sort_keys=True).encode()):08x}"


def threshold(model: str, info: dict[str, Any], accuracy: float) -> float:
    """Return the confidence above which answers have that accuracy, as measured when the model was calibrated.

    Raises:
      UserError: the model was not calibrated, or the accuracy is none of those measured, or was not reached.
    """
    if not info["calibration"]:
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


def load(path: str) -> ExportedModel:
    """Load the model, a remote one from a local copy made by Beam's file systems, which know more stores.

    Raises:
      UserError: there is no such model, or it is of an older version.
    """
    environment.quiet_tensorflow()
    with environment.native_stderr():
        return _load(path)


def _load(path: str) -> ExportedModel:
    path = released.folder_of(path)  # where this worker has the package, which may not be the driver's place
    if "://" not in path:
        return exported_model.load(path)
    with tempfile.TemporaryDirectory() as folder:
        for file in listing.below(path, on_error=lambda _: None):
            local = os.path.join(folder, file.path[len(path.rstrip("/")) + 1 :])
            os.makedirs(os.path.dirname(local), exist_ok=True)
            with FileSystems.open(file.path, compression_type="uncompressed") as source, open(local, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        return exported_model.load(folder)
