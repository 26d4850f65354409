"""Choose the images of a step as a function of (seed, step), so that the step alone is the position in the input."""

import math

import tensorflow as tf

from trainer.cli import UserError


def slots(counts: list[int], shares: tuple[float, ...], batch_size: int) -> list[int]:
    """Return how many places in a batch each dataset gets: by its share, at least one, `batch_size` in total.

    Raises:
      UserError: there are not as many shares as datasets, or the batch is too small for them.
    """
    if len(counts) != len(shares):
        raise UserError(f"data.shares={list(shares)}: give one for each of the {len(counts)} datasets of --data")
    if len(counts) > batch_size:
        raise UserError(f"data.batch_size={batch_size}: it must be at least {len(counts)}, one for each dataset")
    exact = [share / sum(shares) * batch_size for share in shares]
    found = [max(1, int(places)) for places in exact]
    while sum(found) < batch_size:
        neediest = max(range(len(found)), key=lambda i: exact[i] - found[i])
        found[neediest] += 1
    while sum(found) > batch_size:
        richest = max(range(len(found)), key=lambda i: found[i] - exact[i] if found[i] > 1 else -math.inf)
        found[richest] -= 1
    return found


def batch_indices(step: tf.Tensor, counts: list[int], places: list[int], *, seed: int) -> tf.Tensor:
    """Return the indices of the images in a step's batch, int64 [sum(places)], one dataset after the other.

    Each dataset has a separate permutation for each of its epochs (`RandomIndexShuffle`), so that each of its images is
    seen once per epoch.

    Args:
      step: int64 [].
      counts: number of images in each dataset.
      places: number of images in a batch from each dataset.
      seed: of the permutations.
    """
    first, parts = 0, []
    for dataset, (count, size) in enumerate(zip(counts, places, strict=True)):
        position = step * size + tf.range(size, dtype=tf.int64)
        epoch = position // count
        seeds = tf.stack(
            [tf.fill([size], tf.constant(seed, tf.int64)), epoch, tf.fill([size], tf.constant(dataset, tf.int64))],
            axis=1,
        )
        # The public index_shuffle takes a single seed, but a batch may span two epochs.
        shuffled = tf.raw_ops.RandomIndexShuffle(
            index=position % count, seed=seeds, max_index=tf.constant(count - 1, tf.int64), rounds=4
        )
        parts.append(first + shuffled)
        first += count
    return tf.concat(parts, axis=0)
