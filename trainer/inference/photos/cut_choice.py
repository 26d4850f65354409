"""Choose, for each region of a photo, which of its cuts to believe."""

import tensorflow as tf

from trainer.inference.photos import regions

LENGTH, SAME = "length", "same"  # of what a recogniser returns, about its best text: see `PhotoReader`


def confidences(
    out: dict[str, tf.Tensor], regions_of: tf.Tensor, stacked: tf.Tensor, count: int | tf.Tensor
) -> tf.Tensor:
    """Return how confident each cut is, float32 [N]; -1 if it is not credible.

    Characters laid side by side are not credible if the cut reads as fewer or more than it has parts, or if all plain
    cuts of the region read as more: these are often wrong about stacked characters, but seldom about how many there
    are. A region that is cut into the wrong number of parts may be read with high confidence, but seldom as the same
    text with several margins. So the confidence of the others is the mean of the cut's own and of the mean over all
    margins, where margins with another text count as 0.

    Args:
      out: of the reader, for N cuts.
      regions_of, stacked: int32 [N], as `PhotoReader` cuts them.
      count: how many regions there are.
    """
    confidence, length = out["confidence"], out[LENGTH]
    # ONNX has a segment maximum, but only for floats, and no minimum.
    shorter = -tf.cast(length, tf.float32)
    plain = tf.where(stacked == 0, shorter, shorter.dtype.min)
    fewest = -tf.gather(tf.math.unsorted_segment_max(plain, regions_of, count), regions_of)
    counted = (stacked == length) & (tf.cast(stacked, tf.float32) >= fewest)
    readings = tf.unique(out[SAME] * (tf.reduce_max(regions_of) + 1) + regions_of)
    sums = tf.math.unsorted_segment_sum(tf.where(counted, confidence, 0.0), readings.idx, tf.size(readings.y))
    together = (confidence + tf.gather(sums, readings.idx) / len(regions.STACK_MARGINS)) / 2
    return tf.where(stacked == 0, confidence, tf.where(counted, together, -1.0))


def most_confident(confidence: tf.Tensor, regions_of: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Return the index of the most confident cut of each region, int32 [count].

    Args:
      confidence: float32 [N].
      regions_of: int32 [N], the region of each cut.
      count: how many regions there are.
    """
    best = tf.gather(tf.math.unsorted_segment_max(confidence, regions_of, count), regions_of)
    # ONNX has a segment maximum, but only for floats, which are exact up to 16 million.
    backwards = -tf.cast(tf.range(tf.size(regions_of)), tf.float32)
    last = tf.fill(tf.shape(backwards), backwards.dtype.min)
    first = tf.math.unsorted_segment_max(tf.where(confidence >= best, backwards, last), regions_of, count)
    return -tf.cast(first, tf.int32)
