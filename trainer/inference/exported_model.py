"""Read images with an exported model, and read its metadata."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np

from trainer import released
from trainer.cli import UserError
from trainer.cluster import environment
from trainer.files import json_content, whole_file

INFO_FILE = "model_info.json"
INFO_PATH = f"assets/{INFO_FILE}"
GRAPH = "saved_model.pb"
CHECKSUMS = "assets.extra/checksums.json"  # CRC-32C of every other file, in hexadecimal, by path
DIGITS_KEPT = 7  # significant digits of each probability; any more would be float32 noise


@dataclass(frozen=True)
class Answer:
    """A model's answer for one image.

    Attributes:
      candidates: best first, each with `text`, `log_prob` and `probability`.
      confidence: the calibrated probability that the first candidate is correct.
    """

    candidates: list[dict[str, Any]]
    confidence: float


@dataclass(frozen=True)
class ExportedModel:
    """A loaded SavedModel and its metadata. The loaded object must live as long as its signatures."""

    loaded: Any
    info: dict[str, Any]

    def read(self, files: Sequence[bytes], *, beam_width: int, candidates: int) -> list[Answer]:
        """Return the answer for each encoded image."""
        import tensorflow as tf

        out = self.loaded.signatures["serving_default"](
            images=tf.constant(files), beam_width=tf.constant(beam_width), candidates=tf.constant(candidates)
        )
        columns = (out[name].numpy().tolist() for name in ("text", "log_prob", "probability", "confidence"))
        return [_answer(*row) for row in zip(*columns, strict=True)]

    def attention(self, file: bytes) -> tuple[str, np.ndarray] | None:
        """Return the best text and where the model looked for each character; None if it has no attention."""
        import tensorflow as tf

        if "attention" not in self.loaded.signatures:
            return None
        out = self.loaded.signatures["attention"](images=tf.constant([file]))
        return out["text"].numpy()[0].decode(), out["attention"].numpy()[0]


def parse_info(content: bytes, model: str) -> dict[str, Any]:
    """Return the metadata in an exported model's `model_info.json`.

    Raises:
      UserError: an older version wrote it.
    """
    info = json_content.parse(content, f"{model}/{INFO_PATH}", advice="export the model again")
    if not {"beam_width", "calibration", "image_size"} <= info.keys():
        raise UserError(f"{model} was exported by an older version: export it again")
    return info


def check_files(model: str, read: Callable[[str], bytes | None]) -> None:
    """Check that an exported model is complete and that no file of it is damaged.

    A model of version 0.1, which stored no checksums, must at least have its graph and its metadata.

    Args:
      model: the name of the model, for errors.
      read: returns the content of a file of the model, by its path in the model; None if it does not exist.
    Raises:
      UserError: a file is missing or damaged.
    """
    again = "export the model again"
    stored = read(CHECKSUMS)
    expected = {GRAPH: None, INFO_PATH: None}
    if stored is not None:
        expected |= json_content.parse(stored, f"{model}/{CHECKSUMS}", advice=again)
    for path, checksum in sorted(expected.items()):
        content = read(path)
        if content is None:
            raise UserError(f"{model} has no {path}: it is not a complete model written by trainer.export; {again}")
        if not content or (checksum is not None and checksum != crc32c(content)):
            raise UserError(f"{model}/{path} is damaged: {again}")


def crc32c(content: bytes) -> str:
    """Return the CRC-32C of a file's content, in hexadecimal."""
    return f"{google_crc32c.value(content):08x}"


def load(folder: str) -> ExportedModel:
    """Load a model from a local folder or from a bucket that TensorFlow supports.

    Raises:
      UserError: it is missing, damaged, or was exported by an older version.
    """
    import tensorflow as tf

    check_files(folder, lambda path: whole_file.read(f"{folder}/{path}", advice="export the model again"))
    info = parse_info(whole_file.read(f"{folder}/{INFO_PATH}", advice="") or b"", folder)
    try:
        with environment.native_stderr(), released.loadable(folder) as loadable:
            return ExportedModel(tf.saved_model.load(loadable), info)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:  # TensorFlow raises all of these
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder} cannot be loaded ({reason}): export the model again") from error


def _answer(texts: list[bytes], log_probs: list[float], probabilities: list[float], confidence: float) -> Answer:
    candidates = [
        {"text": text.decode(), "log_prob": _rounded(log_prob), "probability": _rounded(probability)}
        for text, log_prob, probability in zip(texts, log_probs, probabilities, strict=True)
    ]
    return Answer(candidates, _rounded(confidence))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS_KEPT}g}")
