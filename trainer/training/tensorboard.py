"""Write TensorBoard data other than scalars: images, histograms, the graph, settings, an embedding projector.

Each has its own flag in `schema.TensorBoard`, since each costs time.
"""

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector

from trainer import graph
from trainer.data.pipeline import augment, input_pipeline
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.files import whole_file
from trainer.inference.measuring.measured import Shown
from trainer.training import captions, settings
from trainer.training.hooks import ChiefHooks
from trainer.training.train_state import TrainState
from trainer.training.validation import Validated

EMBEDDING_FILES = ("embedding.tsv", "labels.tsv", "sprite.png")


class Board:
    """Writes to the same folder as the scalars of a `ChiefHooks`."""

    def __init__(
        self,
        monitor: ChiefHooks,
        train_state: TrainState,
        training: LabelledImages,
        validating: LabelledImages,
        predictor: Validated,
    ) -> None:
        self.monitor, self.train_state, self.training, self.validating = monitor, train_state, training, validating
        self.predictor = predictor
        self.config, self.flags = monitor.config, monitor.config.tensorboard
        self._embed = graph.compiled(self.embed, reduce_retracing=True)
        self._gradients = graph.compiled(self.gradients)

    def start(self) -> None:
        """Write what never changes: settings and graph."""
        with self.monitor.summaries.as_default(step=0):
            if self.flags.hparams:
                settings.write(self.config, self.monitor.folder)
            if self.flags.graph:
                batches = input_pipeline.training_batches(self.training, self.config, first_step=0)
                step = graph.compiled(self.train_state.train_step).get_concrete_function(batches.element_spec)
                tf.summary.graph(step.graph)
        self.monitor.summaries.flush()

    def write(self, step: int, _: dict[str, float]) -> None:
        """Write what changes from step to step; a hook of `loop.run`."""
        begin = time.monotonic()
        with self.monitor.summaries.as_default(step=step):
            if self.flags.images:
                self._write_images(step)
            if self.flags.histograms:
                self._write_histograms(step)
        self.monitor.summaries.flush()
        if self.flags.projector:
            self._write_projector()
        self.monitor.speed.pause(time.monotonic() - begin)

    def _write_images(self, step: int) -> None:
        count = min(self.flags.pictures, len(self.training))
        before = self.training.at(tf.range(count))
        seed = tf.constant([self.config.seed, step], tf.int32)
        after = augment.distort(before, self.config.distortion, seed=seed)
        labels = [Shown(text or "no number") for text in self.training.texts[:count]]
        _write_captioned("pictures/before", before, labels)
        _write_captioned("pictures/distorted", tf.cast(after, tf.uint8), labels)
        chosen = self.validating.select(np.arange(min(self.flags.pictures, len(self.validating))))
        _write_captioned("pictures/answers", chosen.at(tf.range(len(chosen))), self.predictor.shown(chosen))

    def _write_histograms(self, step: int) -> None:
        for path, variable in self.train_state.params.items():
            tf.summary.histogram(f"weights/{path}", variable)
        batch = next(iter(input_pipeline.training_batches(self.training, self.config, first_step=step)))
        for path, gradient in self._gradients(batch).items():
            tf.summary.histogram(f"gradients/{path}", gradient)

    def gradients(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the gradients of the loss on a batch, by path, as in the next step; no variable is updated."""
        values, state = _values(self.train_state.params), _values(self.train_state.state)
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = self.train_state.loss(values, state, batch, self.train_state.step)
        return tape.gradient(loss.mean, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _write_projector(self) -> None:
        count = min(self.flags.embedded, len(self.validating))
        chosen = self.validating.select(np.arange(count))
        batches = input_pipeline.reading_batches(chosen, self.config.data.eval_batch_size)
        embedding = np.concatenate([self._embed(images).numpy() for images in batches])
        rows = zip(chosen.texts, chosen.sources, chosen.keys, strict=True)
        labels = ["label\tlength\tsource\tkey", *(f"{t}\t{len(t)}\t{source}\t{key}" for t, source, key in rows)]
        sprite = sprite_sheet(chosen.at(tf.range(count)).numpy())
        files = (
            "\n".join("\t".join(f"{x:.5g}" for x in row) for row in embedding) + "\n",
            "\n".join(labels) + "\n",
            tf.io.encode_png(sprite).numpy(),
        )
        folder = f"{self.monitor.folder}/tensorboard"
        for name, content in zip(EMBEDDING_FILES, files, strict=True):
            whole_file.write(f"{folder}/{name}", content)
        wanted = projector.ProjectorConfig()
        entry = wanted.embeddings.add(tensor_name="image embedding")
        entry.tensor_path, entry.metadata_path, entry.sprite.image_path = EMBEDDING_FILES
        height, width = chosen.at(tf.range(1)).shape[1:3]
        entry.sprite.single_image_dim.extend([width, height])
        projector.visualize_embeddings(folder, wanted)

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """Return the network's embedding of float32 [B, H, W, 3], float32 [B, D]."""
        params, state = _values(self.train_state.reading_params), _values(self.train_state.state)
        return self.train_state.objective.embed(params, state, images)


def sprite_sheet(images: np.ndarray) -> np.ndarray:
    """Arrange images, uint8 [N, H, W, 3], row by row in the smallest square that holds them; the rest is black."""
    count, height, width, channels = images.shape
    side = int(np.ceil(np.sqrt(count)))
    cells = np.zeros((side * side, height, width, channels), np.uint8)
    cells[:count] = images
    grid = cells.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return grid.reshape(side * height, side * width, channels)


def _write_captioned(name: str, images: tf.Tensor, shown: Sequence[Shown]) -> None:
    drawn = captions.draw(images.numpy(), shown).images
    tf.summary.image(name, drawn, max_outputs=len(drawn))


def _values(variables: dict[str, tf.Variable]) -> dict[str, tf.Tensor]:
    return {path: tf.convert_to_tensor(v) for path, v in variables.items()}
