"""The graphs of the exported model, each complete from the image to the confidence."""

from dataclasses import replace
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.data.pipeline import preprocess
from trainer.inference.decoding import beam_width
from trainer.inference.predictor import Predictor

FILES = tf.TensorSpec([None], tf.string, name="images")


def signatures(predictor: Predictor) -> dict[str, Any]:
    """Return the signatures of the SavedModel.

    `serving_default` takes `images`, string [B], encoded files; `beam_width`, int32 []; `candidates`, int32 [], N.
    It returns `text` string [B, N]; `log_prob` and `probability` float32 [B, N], best first; `confidence` float32 [B];
    and `characters` float32 [B, T], see `Predictor.read`. N is at most the beam width; if it equals the width, the last
    candidates are often not the most probable ones: see `beam_width.width_for`. `decoded` takes `images`, uint8
    [B, h, w, 3], instead; `fitted` takes float32 [B, H, W, 3], 0 to 255, of the model's size, and also returns
    `tokens`. TensorFlow Serving fills in the configured values of the last two inputs; tf.saved_model.load requires
    them.

    `images` takes only the files, and reads them with these configured values, for callers that cannot pass scalars:
    `keras.layers.TFSMLayer`, and batching in TensorFlow Serving, where each input needs a batch dimension.

    `attention`, if the model has any, takes `images`, string [B], and returns `text` string [B] and `attention`,
    float32 [B, T, rows, columns]: where the model looked for each of the T tokens of the best candidate, sum 1.
    """
    model = predictor.config.model
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    sizes = (tf.TensorSpec([], tf.int32, name="beam_width"), tf.TensorSpec([], tf.int32, name="candidates"))
    configured = tf.constant(predictor.config.decode.beam_width)
    followed = tf.constant(beam_width.width_for(predictor.config.decode.beam_width))

    def read_fitted(images, beam_width, candidates):
        for name, value in (("beam_width", beam_width), ("candidates", candidates)):
            tf.debugging.assert_positive(value, f"{name} must be at least 1")
        return predictor.read(preprocess.normalise(images), beam_width, candidates)

    fitted = tf.TensorSpec([None, model.image_height, model.image_width, 3], tf.float32, name="images")
    read = graph.compiled(read_fitted, input_signature=[fitted, *sizes])  # traced once for all signatures

    def read_files(images, beam_width=followed, candidates=configured):
        fitted = preprocess.decode_and_fit(images, model)
        return without_tokens(read(tf.cast(fitted, tf.float32), beam_width, candidates))

    def read_decoded(images, beam_width=followed, candidates=configured):
        fitted = preprocess.fit(images, model.image_height, model.image_width)
        return without_tokens(read(tf.cast(fitted, tf.float32), beam_width, candidates))

    def read_alone(images):
        return of_candidates(read_files(images, followed, configured), predictor.config.decode.beam_width)

    # Traced here: if TensorFlow traced them while saving, they would not share graphs that were traced before.
    found = {
        name: graph.compiled(function, input_signature=inputs).get_concrete_function()
        for name, function, inputs in (
            ("serving_default", read_files, [FILES, *sizes]),
            ("images", read_alone, [FILES]),
            ("decoded", read_decoded, [pixels, *sizes]),
            ("fitted", read, [fitted, *sizes]),
        )
    }
    attention = _attention(predictor, followed)
    return found | ({"attention": attention} if "attention" in attention.structured_outputs else {})


def _attention(predictor: Predictor, followed: tf.Tensor) -> Any:
    """Return the graph of the signature `attention`; it has no output of that name if the model has no attention."""
    model = predictor.config.model

    def look(images):
        fitted = preprocess.normalise(preprocess.decode_and_fit(images, model))
        best = predictor.search(fitted, followed).tokens[:, 0]
        best = tf.ensure_shape(best, [None, model.max_length + 1])
        attention = predictor.attend(fitted, best)
        text = predictor.vocab.decode_tensor(best)
        if attention is None:
            return {"text": text}
        return {"text": text, "attention": tf.reshape(attention, [-1, model.max_length + 1, *model.map_size])}

    return graph.compiled(look, input_signature=[FILES]).get_concrete_function()


def without_tokens(out: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the outputs without `tokens`, since `text` says the same more conveniently."""
    return {name: value for name, value in out.items() if name != "tokens"}


def of_candidates(out: dict[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
    """Return the outputs of a signature with the number of candidates in their shapes, as tools show them."""
    shaped = {name: tf.ensure_shape(out[name], [None, count]) for name in ("text", "log_prob", "probability")}
    return {**out, **shaped}


def lite(predictor: Predictor) -> bytes:
    """Return a TFLite model: one resized image in, tokens out, since TFLite supports neither strings nor image files.

    It uses a single view: TFLite lacks the operations that compute the others.

    It takes `images`, uint8 [1, H, W, 3], an image of the model's input size, and returns `tokens` int32 [1, K, T + 1],
    indices into the alphabet followed by end tokens; `log_prob` float32 [1, K]; and `confidence` float32 [1]. Weights
    are stored in 8 bits.
    """
    model, single = predictor.config.model, replace(predictor.config.decode, views=(1.0,), tilts=(), closer=False)
    config = replace(predictor.config, decode=single)
    predictor = Predictor(predictor.recogniser, predictor.params, predictor.state, config, predictor.calibrated)
    image = tf.TensorSpec([1, model.image_height, model.image_width, 3], tf.uint8, name="images")

    def read(images):
        found = predictor.search(preprocess.normalise(images)).first(config.decode.beam_width)
        confidence = predictor.confidence(found.log_probs[:, 0])
        return {"tokens": found.tokens, "log_prob": found.log_probs, "confidence": confidence}

    module = tf.Module()
    module.params, module.state = predictor.params, predictor.state
    concrete = graph.compiled(read, input_signature=[image]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()
