"""Find numbers in images: the one graph shared by validation, evaluation and the exported model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import graph, progress
from trainer.config.schema import Config
from trainer.data.pipeline import input_pipeline
from trainer.inference.measuring import finding_metrics
from trainer.inference.measuring.finding_metrics import Found
from trainer.inference.measuring.measured import Measured, Shown
from trainer.models import oriented_box
from trainer.models.finder import COARSEST, PureFinder

PEAKS = 100  # per image, before those that overlap higher ones are dropped
OVERLAP = 0.3  # intersection over union of upright boxes above which the lower of two is dropped
LOWEST_SCORE = 0.2  # of a box; lower ones hardly ever hold a number, and cost as much to read


class NumberFinder:
    """Finds numbers in images."""

    def __init__(
        self, network: PureFinder, params: Mapping[str, Any], state: Mapping[str, Any], config: Config
    ) -> None:
        self.network, self.params, self.state, self.config = network, params, state, config
        self._find_batch = graph.compiled(
            lambda images: self.find(images, views=(1.0,)), input_signature=[tf.TensorSpec((None, None, None, 3))]
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the images to give to `find`: those of the largest of the configured views."""
        model, largest = self.config.model, max(self.config.decode.views)
        return _whole_cells(model.image_height * largest), _whole_cells(model.image_width * largest)

    def find(
        self, images: tf.Tensor, most: int | tf.Tensor = 10, *, views: Sequence[float] = ()
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the boxes of numbers, best first, in images, float32 [B, H, W, 3] in -1..1; for use inside a graph.

        Args:
          images: of the largest view; H and W are multiples of 32.
          most: K, how many to return of each image.
          views: zoom factors at which the images are searched, by default as configured; the boxes of all are merged.
        Returns:
          The corners, float32 [B, K, 8] in pixels of the images: x, y, clockwise from the top left of the text; the
          scores, float32 [B, K] in 0..1, 0 where there are fewer than K.
        """
        return tf.map_fn(
            lambda one: _apart(one[0], one[1], most),
            self._all_peaks(images, views or self.config.decode.views),
            fn_output_signature=(tf.TensorSpec([None, 8], tf.float32), tf.TensorSpec([None], tf.float32)),
        )

    def find_in_one(self, image: tf.Tensor, most: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Find numbers in one image, float32 [H, W, 3]: as `find`, without the batch dimension and without a loop."""
        corners, scores = self._all_peaks(image[tf.newaxis], self.config.decode.views)
        return _apart(corners[0], scores[0], most)

    def _all_peaks(self, images: tf.Tensor, views: Sequence[float]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the peaks of all views together, as `_peaks` returns those of one."""
        found = [self._peaks(_resized(images, view / max(views))) for view in views]
        corners, scores = (tf.concat(parts, axis=1) for parts in zip(*found, strict=True))
        return corners, scores

    def _peaks(self, resized: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the highest peaks of a view, best first.

        Args:
          resized: images of the view, and by how much they were shrunk across and down, float32 [2].
        Returns:
          Corners in pixels of the images before they were shrunk, float32 [B, P, 8], and scores, float32 [B, P].
        """
        images, shrunk = resized
        params = {path: tf.cast(v, tf.float32) for path, v in self.params.items()}
        state = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
        said = self.network.look(params, state, images)
        heat = tf.sigmoid(said[..., :1])
        heat = tf.where(heat >= tf.nn.max_pool2d(heat, 3, 1, "SAME"), heat, 0.0)
        batch = tf.shape(said)[0]
        flat = tf.reshape(heat, [batch, -1])
        scores, places = tf.math.top_k(flat, tf.minimum(PEAKS, tf.shape(flat)[1]))
        corners = tf.gather(tf.reshape(oriented_box.corners(said), [batch, -1, 8]), places, batch_dims=1)
        return corners / tf.tile(shrunk, [4]), scores

    def answers(self, labelled: input_pipeline.LabelledImages) -> list[Found]:
        """Find the numbers of all images, including the last, smaller batch."""
        found: list[Found] = []
        corners = np.asarray(labelled.corners)
        batches = input_pipeline.reading_batches(labelled, self.config.data.eval_batch_size)
        for images in progress.batches("validating", batches, len(labelled)):
            for boxes, scores in zip(*(out.numpy() for out in self._find_batch(images)), strict=True):
                truth = corners[len(found)]
                kept = scores > 0
                found.append(Found(truth[~np.isnan(truth).any(axis=1)], boxes[kept], scores[kept]))
        return found

    def shown(self, labelled: input_pipeline.LabelledImages) -> list[Shown]:
        """Return, for each image, its boxes and those found; right if all of them match."""
        return [
            Shown(
                f"{len(one.truth)} numbers, {len(one.corners)} found",
                bool(len(one.truth) == len(one.corners) == finding_metrics.matches(one).sum()),
                one.truth.tolist(),
                one.corners.tolist(),
            )
            for one in self.answers(labelled)
        ]

    def validate(self, labelled: input_pipeline.LabelledImages) -> Measured:
        """Measure how well numbers are found in labelled images."""
        summary = finding_metrics.summarise(self.answers(labelled))
        return Measured(summary["f1"], finding_metrics.line(summary), finding_metrics.scalars(summary))


def _whole_cells(side: float) -> int:
    """Return the nearest multiple of `COARSEST`, at least one."""
    return max(1, round(side / COARSEST)) * COARSEST


def _resized(images: tf.Tensor, factor: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images shrunk to whole cells by about a factor, and the exact factors across and down."""
    if factor == 1:
        return images, tf.ones([2])
    sides = tf.cast(tf.shape(images)[1:3], tf.float32)
    cells = tf.maximum(tf.round(sides * factor / COARSEST), 1.0)
    size = tf.cast(cells, tf.int32) * COARSEST
    return tf.image.resize(images, size, antialias=True), (cells * COARSEST / sides)[::-1]


def _apart(corners: tf.Tensor, scores: tf.Tensor, most: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best boxes of one image that do not overlap better ones, float32 [K, 8], and their scores [K]."""
    xs, ys = corners[:, ::2], corners[:, 1::2]
    upright = tf.stack([tf.reduce_min(ys, 1), tf.reduce_min(xs, 1), tf.reduce_max(ys, 1), tf.reduce_max(xs, 1)], axis=1)
    kept = tf.image.non_max_suppression(upright, scores, most, iou_threshold=OVERLAP, score_threshold=LOWEST_SCORE)
    missing = most - tf.size(kept)
    return tf.pad(tf.gather(corners, kept), [[0, missing], [0, 0]]), tf.pad(tf.gather(scores, kept), [[0, missing]])
