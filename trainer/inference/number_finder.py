"""Find numbers in images: the one graph shared by validation, evaluation and the exported model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.config.schema import Config
from trainer.data import input_pipeline
from trainer.inference import finding_metrics
from trainer.inference.finding_metrics import Found
from trainer.inference.measured import Measured
from trainer.models import oriented_box
from trainer.models.finder import PureFinder

PEAKS = 100  # per image, before those that overlap higher ones are dropped
OVERLAP = 0.3  # intersection over union of upright boxes above which the lower of two is dropped
LOWEST_SCORE = 0.1


class NumberFinder:
    """Finds numbers in images."""

    def __init__(
        self, network: PureFinder, params: Mapping[str, Any], state: Mapping[str, Any], config: Config
    ) -> None:
        self.network, self.params, self.state, self.config = network, params, state, config
        self._find_batch = tf.function(self.find, reduce_retracing=True)

    def find(self, images: tf.Tensor, most: int | tf.Tensor = 10) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the boxes of numbers, best first, for float32 [B, H, W, 3] in -1..1; for use inside a graph.

        Args:
          images: H and W are multiples of 32.
          most: K, how many to return of each image.
        Returns:
          The corners, float32 [B, K, 8] in pixels of the images: x, y, clockwise from the top left as one reads; the
          scores, float32 [B, K] in 0..1, 0 where there are fewer than K.
        """
        params = {path: tf.cast(v, tf.float32) for path, v in self.params.items()}
        state = {path: tf.convert_to_tensor(v) for path, v in self.state.items()}
        said = self.network.look(params, state, images)
        heat = tf.sigmoid(said[..., :1])
        heat = tf.where(heat >= tf.nn.max_pool2d(heat, 3, 1, "SAME"), heat, 0.0)
        batch = tf.shape(said)[0]
        flat = tf.reshape(heat, [batch, -1])
        scores, places = tf.math.top_k(flat, tf.minimum(PEAKS, tf.shape(flat)[1]))
        corners = tf.gather(tf.reshape(oriented_box.corners(said), [batch, -1, 8]), places, batch_dims=1)
        return tf.map_fn(
            lambda one: _apart(one[0], one[1], most),
            (corners, scores),
            fn_output_signature=(tf.TensorSpec([None, 8], tf.float32), tf.TensorSpec([None], tf.float32)),
        )

    def answers(self, labelled: input_pipeline.LabelledImages) -> list[Found]:
        """Find the numbers of all images, including the last, smaller batch."""
        found: list[Found] = []
        corners = np.asarray(labelled.corners)
        for images in input_pipeline.reading_batches(labelled, self.config.data.eval_batch_size):
            for boxes, scores in zip(*(out.numpy() for out in self._find_batch(images)), strict=True):
                truth = corners[len(found)]
                kept = scores > LOWEST_SCORE
                found.append(Found(truth[~np.isnan(truth).any(axis=1)], boxes[kept], scores[kept]))
        return found

    def validate(self, labelled: input_pipeline.LabelledImages) -> Measured:
        """Measure how well numbers are found in labelled images."""
        summary = finding_metrics.summarise(self.answers(labelled))
        return Measured(summary["f1"], finding_metrics.line(summary), finding_metrics.scalars(summary))


def _apart(corners: tf.Tensor, scores: tf.Tensor, most: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the best boxes of one image that do not overlap better ones, float32 [K, 8], and their scores [K]."""
    xs, ys = corners[:, ::2], corners[:, 1::2]
    upright = tf.stack([tf.reduce_min(ys, 1), tf.reduce_min(xs, 1), tf.reduce_max(ys, 1), tf.reduce_max(xs, 1)], axis=1)
    kept, count = tf.image.non_max_suppression_padded(
        upright, scores, most, iou_threshold=OVERLAP, score_threshold=LOWEST_SCORE, pad_to_max_output_size=True
    )
    valid = tf.range(tf.size(kept)) < count
    return tf.gather(corners, kept), tf.where(valid, tf.gather(scores, kept), 0.0)
