"""An exported model: what it says of itself, and how a process loads it, from wherever it lies."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.scoring.prefetch import FetchedImage
from beam_pipelines.sharding import listing
from trainer import released
from trainer.cli import UserError
from trainer.cluster import environment

MODEL_INFO = "assets/model_info.json"
GRAPH = "saved_model.pb"
DIGITS_KEPT = 7  # of each number: more than that is float32's noise

Row = tuple[list[dict[str, Any]], float]


def read_info(model: str) -> dict[str, Any]:
    """What the exported model says of itself.

    Raises:
      UserError: there is no such model, or it is of an older version.
    """
    path = FileSystems.join(released.folder_of(model), *MODEL_INFO.split("/"))
    if not FileSystems.exists(path):
        raise UserError(f"{model} has no {MODEL_INFO}: it is no model of trainer.export")
    with FileSystems.open(path) as file:
        info = json.loads(file.read())
    if not {"calibration", "image_size"} <= info.keys():
        raise UserError(f"{model} was exported by an older version: export it again")
    return info


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
    """The confidence from which on answers are right to that accuracy, as measured when the model was calibrated.

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


@dataclass(frozen=True)
class ExportedModel:
    """A loaded SavedModel and what it says of itself. The loaded object must live as long as its signatures."""

    loaded: Any
    info: dict[str, Any]

    def read(self, pictures: Sequence[FetchedImage], *, beam_width: int, candidates: int) -> list[Row]:
        """The candidates of each picture, best first, and the confidence in the first."""
        import tensorflow as tf

        out = self.loaded.signatures["serving_default"](
            images=tf.constant([picture.file for picture in pictures]),
            beam_width=tf.constant(beam_width),
            candidates=tf.constant(candidates),
        )
        texts, log_probs, probabilities = (out[name].numpy().tolist() for name in ("text", "log_prob", "probability"))
        return [
            (
                [
                    {"text": text.decode(), "log_prob": _rounded(log_prob), "probability": _rounded(probability)}
                    for text, log_prob, probability in zip(*row, strict=True)
                ],
                _rounded(confidence),
            )
            for *row, confidence in zip(
                texts, log_probs, probabilities, out["confidence"].numpy().tolist(), strict=True
            )
        ]


def load(path: str) -> ExportedModel:
    """Loads the model, a remote one as a local copy made by Beam's file systems, which know more stores."""
    environment.quiet_tensorflow()
    with environment.native_stderr():
        return _load(path)


def _load(path: str) -> ExportedModel:
    import tensorflow as tf

    info = read_info(path)
    path = released.folder_of(path)  # where this worker has the package, which may not be the driver's place
    if "://" not in path:
        with released.loadable(path) as loadable:
            return ExportedModel(tf.saved_model.load(loadable), info)
    with tempfile.TemporaryDirectory() as folder:
        for file in listing.below(path, on_error=lambda _: None):
            local = os.path.join(folder, file.path[len(path.rstrip("/")) + 1 :])
            os.makedirs(os.path.dirname(local), exist_ok=True)
            with FileSystems.open(file.path, compression_type="uncompressed") as source, open(local, "wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        return ExportedModel(tf.saved_model.load(folder), info)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS_KEPT}g}")
