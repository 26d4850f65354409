"""Read images with an exported model, and what it says of itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer import released
from trainer.cli import UserError
from trainer.cluster import environment

INFO_FILE = "model_info.json"
INFO_PATH = f"assets/{INFO_FILE}"
GRAPH = "saved_model.pb"
DIGITS_KEPT = 7  # of each probability: more than that is float32's noise


@dataclass(frozen=True)
class Answer:
    """What a model reads in an image.

    Attributes:
      candidates: best first, each with `text`, `log_prob` and `probability`.
      confidence: the calibrated probability that the first candidate is right.
    """

    candidates: list[dict[str, Any]]
    confidence: float


@dataclass(frozen=True)
class ExportedModel:
    """A loaded SavedModel and what it says of itself. The loaded object must live as long as its signatures."""

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
        """Return the best text and where the model looked for each character; None where it has no attention."""
        import tensorflow as tf

        if "attention" not in self.loaded.signatures:
            return None
        out = self.loaded.signatures["attention"](images=tf.constant([file]))
        return out["text"].numpy()[0].decode(), out["attention"].numpy()[0]


def parse_info(content: bytes, model: str) -> dict[str, Any]:
    """Return what an exported model says of itself in its `model_info.json`.

    Raises:
      UserError: it is of an older version.
    """
    info = json.loads(content)
    if not {"beam_width", "calibration", "image_size"} <= info.keys():
        raise UserError(f"{model} was exported by an older version: export it again")
    return dict(info)


def load(folder: str) -> ExportedModel:
    """Load a model, from a local folder or a bucket that TensorFlow knows.

    Raises:
      UserError: there is none, or it is of an older version.
    """
    import tensorflow as tf

    for name in (GRAPH, INFO_PATH):
        if not tf.io.gfile.exists(f"{folder}/{name}"):
            raise UserError(f"{folder} has no {name}: make a model with trainer.export")
    with tf.io.gfile.GFile(f"{folder}/{INFO_PATH}", "rb") as file:
        info = parse_info(file.read(), folder)
    with environment.native_stderr(), released.loadable(folder) as loadable:
        return ExportedModel(tf.saved_model.load(loadable), info)


def _answer(texts: list[bytes], log_probs: list[float], probabilities: list[float], confidence: float) -> Answer:
    candidates = [
        {"text": text.decode(), "log_prob": _rounded(log_prob), "probability": _rounded(probability)}
        for text, log_prob, probability in zip(texts, log_probs, probabilities, strict=True)
    ]
    return Answer(candidates, _rounded(confidence))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS_KEPT}g}")
