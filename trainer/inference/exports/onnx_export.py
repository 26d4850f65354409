"""Write models as ONNX: from pixels to texts in one file, for any ONNX runtime and for `onnx_model`."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper

from trainer.data.pipeline import preprocess
from trainer.inference.decoding import beam_width
from trainer.inference.exports import onnx_conversion
from trainer.inference.photos.photo_reader import PhotoReader
from trainer.inference.predictor import Predictor

DESCRIBED = ("alphabet", "max_length", "image_size", "fingerprint")  # of `model_info.json`, in the metadata
# The texts of `PhotoReader` are tokens here, since few ONNX runtimes support strings.
PHOTO_OUTPUTS = {
    "text": "tokens",
    "log_prob": "log_prob",
    "probability": "probability",
    "confidence": "confidence",
    "characters": "characters",
    "numbers/candidates": "numbers/tokens",
    "numbers/confidence": "numbers/confidence",
    "numbers/corners": "numbers/corners",
    "numbers/characters": "numbers/characters",
}


def of_recogniser(predictor: Predictor, info: dict[str, Any], *, half: bool) -> bytes:
    """Return a recogniser as ONNX.

    It takes `images`, uint8 [B, H, W, 3] of any size; `beam_width` and `candidates`, int32 [], are optional. It returns
    what `Predictor.read` does, except `text`. Its metadata are `DESCRIBED`, each as JSON.

    Args:
      predictor: reads the images.
      info: the content of `model_info.json`.
      half: see `onnx_conversion.convert`.
    """
    height, width = predictor.config.model.image_height, predictor.config.model.image_width

    def read(images: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        fitted = preprocess.fit(images, height, width)
        out = predictor.read(preprocess.normalise(fitted), beam_width, candidates)
        return {name: value for name, value in out.items() if name != "text"}

    return _written(read, tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"), info, half=half)


def of_photos(photos: PhotoReader, info: dict[str, Any], *, half: bool) -> bytes:
    """Return a finder with its recogniser as ONNX.

    It takes `image`, uint8 [H, W, 3], a photo, and the same optional inputs as `of_recogniser`. It returns what
    `PhotoReader.read` does, for this one photo, with tokens instead of texts: `tokens` int32 [C, T], and
    `numbers/tokens` int32 [R, C, T]. Where there are fewer than R numbers, `numbers/confidence` is 0.

    Args:
      photos: made with `photo_reader.of_tokens`.
      info, half: see `of_recogniser`.
    """

    def read(image: tf.Tensor, beam_width: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        out = photos.read_pixels(image, beam_width, candidates)
        return {as_onnx: out[name][0] for name, as_onnx in PHOTO_OUTPUTS.items()}

    return _written(read, tf.TensorSpec([None, None, 3], tf.uint8, name="image"), info, half=half)


def _written(
    function: Callable[..., dict[str, Any]], images: tf.TensorSpec, info: dict[str, Any], *, half: bool
) -> bytes:
    """Return a function of images, beam width and candidates as ONNX, with the configured values of the last two."""
    sizes = {"beam_width": beam_width.width_for(info["beam_width"]), "candidates": info["beam_width"]}
    inputs = [images, *(tf.TensorSpec([], tf.int32, name=name) for name in sizes)]
    model = onnx_conversion.convert(function, inputs, half=half)
    # An initializer with the name of an input is its default.
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(size, np.int32), name) for name, size in sizes.items()
    )
    onnx.helper.set_model_props(model, {name: json.dumps(info[name]) for name in DESCRIBED})
    onnx.checker.check_model(model)
    return model.SerializeToString()
