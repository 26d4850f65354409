"""Beam's ModelHandler over an exported SavedModel, a shard of pictures at a time."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
from apache_beam.ml.inference.base import ModelHandler

from beam_pipelines import images, shards
from beam_pipelines.shards import Reject, ShardResult, ShardSpec
from trainer import cluster

MODEL_INFO = "assets/model_info.json"
BINS = 20  # of the confidence histogram


@dataclass(frozen=True)
class Model:
    """A loaded SavedModel and what its `model_info.json` says.

    The loaded object must live as long as its signatures are called.
    """

    loaded: Any
    info: dict[str, Any]


class ReadShards(ModelHandler[ShardSpec, ShardResult, Model]):
    """Reads the pictures of a shard and writes its predictions, one JSON object a line.

    To RunInference one example is one shard: it is the unit of work, so pictures are batched within it, in full
    batches from the start. Beam's own TensorFlow handlers do not take SavedModel folders under Keras 3.
    """

    def __init__(self, path: str, *, batch_size: int, min_confidence: float) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.path, self.batch_size, self.min_confidence = path, batch_size, min_confidence

    def load_model(self) -> Model:
        """Loads the model, once a process."""
        cluster.quiet_tensorflow()
        import tensorflow as tf

        with tf.io.gfile.GFile(f"{self.path}/{MODEL_INFO}", "r") as file:
            info = json.load(file)
        return Model(tf.saved_model.load(self.path), info)

    def run_inference(
        self, batch: Sequence[ShardSpec], model: Model, inference_args: dict[str, Any] | None = None
    ) -> Iterator[ShardResult]:
        """Writes each shard of the batch, and tells what is in it."""
        for spec in batch:
            begin = time.monotonic()
            result = ShardResult(spec.path, spec.split, items=len(spec.items))
            checksum = google_crc32c.Checksum()
            with shards.whole_file(spec.path) as file:
                for row in self._rows(spec, model, result):
                    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
                    checksum.update(line)
                    file.write(line)
                    result.bytes += len(line)
            result.crc32c = checksum.hexdigest().decode()
            shards.count_metrics(result, time.monotonic() - begin)
            yield result

    def _rows(self, spec: ShardSpec, model: Model, result: ShardResult) -> Iterator[dict[str, Any]]:
        for start in range(0, len(spec.items), self.batch_size):
            keys, files = [], []
            for path in spec.items[start : start + self.batch_size]:
                try:
                    files.append(read_picture(path))
                    keys.append(path)
                except Reject as reject:
                    result.rejects.append((path, reject.reason, reject.detail))
            for key, (candidates, confidence) in zip(keys, _read(files, model), strict=True):
                result.written += 1
                result.tally("accepted", confidence >= self.min_confidence)
                result.tally("confidence", min(int(confidence * BINS), BINS - 1))
                result.tally("length", len(candidates[0]["text"]))
                yield {
                    "key": key,
                    "candidates": candidates,
                    "confidence": confidence,
                    "accepted": confidence >= self.min_confidence,
                    "model": model.info["fingerprint"],
                }

    def share_model_across_processes(self) -> bool:
        return False


def read_picture(path: str) -> bytes:
    """A file that the model can decode: as it is where it is a plain RGB PNG or JPEG, else as a PNG.

    Raises:
      Reject: `missing-picture`, `undecodable`, `too-large`.
    """
    data = images.read(path)
    picture = images.load(data)
    return data if picture.file_type else images.encode(picture.image, "png")


def _read(files: list[bytes], model: Model) -> Iterable[tuple[list[dict[str, Any]], float]]:
    """The candidates of each picture, best first, and the confidence in the first."""
    import tensorflow as tf

    if not files:
        return
    out = model.loaded.signatures["serving_default"](images=tf.constant(files))
    columns = (out[name].numpy() for name in ("text", "log_prob", "probability", "confidence"))
    for texts, log_probs, probabilities, confidence in zip(*columns, strict=True):
        candidates = [
            {"text": text.decode(), "log_prob": float(log_prob), "probability": float(probability)}
            for text, log_prob, probability in zip(texts, log_probs, probabilities, strict=True)
        ]
        yield candidates, float(confidence)
