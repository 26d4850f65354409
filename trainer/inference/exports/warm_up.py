"""Write two more files for TensorFlow Serving: requests that warm up a model, and the batching configuration.

The requests are a TFRecord file of `tensorflow.serving.PredictionLog`. The package `tensorflow-serving-api`, which has
that message, needs another build of TensorFlow than `tensorflow-cpu`. So the few fields that are needed are declared
here, with the field numbers of its `prediction_log.proto`, `predict.proto` and `model.proto`.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

from trainer.data.formats import tfrecord
from trainer.data.images import image_io
from trainer.files import whole_file

FILE = "assets.extra/tf_serving_warmup_requests"
BATCHING_FILE = "batching.config"
SIGNATURE = "images"
BATCHES = (1, 8, 32)  # images of each request; the largest batch that the server forms is among them
BATCHING = f"""# For tensorflow_model_server --enable_batching --batching_parameters_file=batching.config.
# Requests must name the signature "{SIGNATURE}": the other inputs of "serving_default" are not batched.
max_batch_size {{ value: {BATCHES[-1]} }}
batch_timeout_micros {{ value: 5000 }}
max_enqueued_batches {{ value: 64 }}
num_batch_threads {{ value: 2 }}
{"".join(f"allowed_batch_sizes: {size}{chr(10)}" for size in BATCHES)}"""


def next_version(folder: str) -> str:
    """Return the folder for the next version of a model, in the folder of all versions: one more than the highest."""
    names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    numbers = [int(name) for name in (name.rstrip("/") for name in names) if name.isascii() and name.isdigit()]
    return f"{folder.rstrip('/')}/{max(numbers, default=0) + 1}"


def write_batching(folder: str) -> str | None:
    """Write the batching configuration into the folder of all versions; return its path, None if it existed before."""
    path = f"{folder.rstrip('/')}/{BATCHING_FILE}"
    if tf.io.gfile.exists(path):
        return None
    whole_file.write(path, BATCHING)
    return path


def requests(size: Sequence[int]) -> bytes:
    """Return the warm-up requests, for images of this height and width in pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = image_io.encode(Image.fromarray(noise), "jpeg")
    buffer = io.BytesIO()
    for count in BATCHES:
        log = _log_class()()
        request = log.predict_log.request
        request.model_spec.signature_name = SIGNATURE
        request.inputs["images"] = tf.make_tensor_proto([image] * count, tf.string).SerializeToString()
        tfrecord.write_framed(buffer, log.SerializeToString(deterministic=True))
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _log_class() -> Any:
    """Return the message class; tensors are bytes fields, which have the same wire format as nested messages."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="serving/log.proto", package="tensorflow.serving", syntax="proto3")

    def add_field(message: Any, name: str, number: int, kind: int, **options: Any) -> None:
        options.setdefault("label", types.LABEL_OPTIONAL)
        message.field.add(name=name, number=number, type=kind, **options)

    add_field(file.message_type.add(name="ModelSpec"), "signature_name", 3, types.TYPE_STRING)
    request = file.message_type.add(name="PredictRequest")
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    add_field(entry, "key", 1, types.TYPE_STRING)
    add_field(entry, "value", 2, types.TYPE_BYTES)
    add_field(request, "model_spec", 1, types.TYPE_MESSAGE, type_name=".tensorflow.serving.ModelSpec")
    inputs = ".tensorflow.serving.PredictRequest.InputsEntry"
    add_field(request, "inputs", 2, types.TYPE_MESSAGE, label=types.LABEL_REPEATED, type_name=inputs)
    log = file.message_type.add(name="PredictLog")
    add_field(log, "request", 1, types.TYPE_MESSAGE, type_name=".tensorflow.serving.PredictRequest")
    logs = file.message_type.add(name="PredictionLog")
    add_field(logs, "predict_log", 6, types.TYPE_MESSAGE, type_name=".tensorflow.serving.PredictLog")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictionLog"))
