"""Read as the reference does, for benchmarks.scoring: one image at a time, one call per step, the beam in NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import graph
from trainer.data.pipeline import preprocess
from trainer.inference.load import load_model


def reader(workdir: str) -> Callable[[Path], str]:
    """Return a function that reads the number in an image file with the model of a work folder, in one view."""
    config, recogniser, params, state, _ = load_model(workdir)
    model, vocab, width = config.model, recogniser.layer.vocab, config.decode.beam_width

    @graph.compiled
    def encode(file: tf.Tensor) -> Any:
        image = preprocess.decode_and_fit(file[tf.newaxis], model)
        return recogniser.encode(params, state, preprocess.normalise(image))

    def step(tokens: tf.Tensor, carried: Any, memory: Any) -> Any:
        logits, following, _ = recogniser.step(params, tokens, carried, memory)
        return tf.nn.log_softmax(logits), following

    next_step = graph.compiled(step, reduce_retracing=True)

    def read(path: Path) -> str:
        memory, carried = encode(tf.constant(path.read_bytes()))
        beams, ended = [(0.0, [vocab.start])], []
        for t in range(model.max_length + 1):
            log_probs, carried = next_step(tf.constant([[tokens[-1] for _, tokens in beams]]), carried, memory)
            gains = log_probs.numpy()[0].copy()
            gains[:, vocab.start] = -np.inf
            if t == 0:
                gains[:, vocab.end] = -np.inf
            totals = np.array([total for total, _ in beams])[:, np.newaxis] + gains
            best = np.argsort(-totals, axis=None)[:width]
            grown = [(totals.flat[i], beams[i // vocab.size][1], i // vocab.size, i % vocab.size) for i in best]
            ended += [(total, tokens) for total, tokens, _, token in grown if token == vocab.end]
            going = [(total, [*tokens, token], parent) for total, tokens, parent, token in grown if token != vocab.end]
            if not going or t == model.max_length:
                break
            parents = tf.constant([parent for *_, parent in going])
            carried = tf.nest.map_structure(lambda x, p=parents: tf.gather(x, p, axis=1), carried)
            beams = [(total, tokens) for total, tokens, _ in going]
        return vocab.decode(max(ended or [(0.0, beams[0][1])], key=lambda one: one[0])[1][1:])

    return read
