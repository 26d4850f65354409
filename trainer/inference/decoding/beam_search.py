"""Model-independent beam search: it works on token ids, a state to carry along, and a callback."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

NEVER = -1e9  # the log probability of impossible tokens


class Hypotheses(NamedTuple):
    """The best hypotheses of each image, best first.

    Attributes:
      tokens: int32 [B, K, max_length + 1]; padded with end tokens.
      log_probs: float32 [B, K], the sum over all tokens, including the end token.
      token_log_probs: float32 [B, K, max_length + 1], of each token given those before it; 0 for padding.
    """

    tokens: tf.Tensor
    log_probs: tf.Tensor
    token_log_probs: tf.Tensor

    def first(self, count: int | tf.Tensor) -> "Hypotheses":
        """Return only the best `count`."""
        return Hypotheses(*(value[:, :count] for value in self))


def beam_search(
    first_state: Any,
    step: Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]],
    *,
    start: int,
    end: int,
    width: int | tf.Tensor,
    max_length: int,
    empty: bool = False,
) -> Hypotheses:
    """Find the most probable sequences of at most `max_length` tokens; width 1 is greedy search.

    Every sequence ends: after `max_length` tokens only the end token may follow, at its own probability.
    The start token is never produced.

    Args:
      first_state: a structure of tensors [B, 1, ...].
      step: takes tokens, int32 [B, K], and a state of tensors [B, K, ...]; returns logits [B, K, V] and
        the next state.
      start: the token fed first.
      end: the token that ends a sequence.
      width: how many hypotheses to follow, K, a Python int or int32 []; if fewer exist, the last ones have a log
        probability near `NEVER`. Ties go to the lower token.
      max_length: the most tokens before the end token.
      empty: whether the empty sequence may be produced.
    """
    state = first_state
    batch = tf.shape(tf.nest.flatten(state)[0])[0]
    tokens = tf.fill([batch, 1], start)
    log_probs = tf.zeros([batch, 1])
    ended = tf.zeros([batch, 1], tf.bool)
    sequences, gained = tf.zeros([batch, 1, 0], tf.int32), tf.zeros([batch, 1, 0])
    for t in range(max_length + 1):
        logits, state = step(tokens, state)
        vocabulary = logits.shape[-1]
        only_end = tf.where(tf.range(vocabulary) == end, 0.0, NEVER)
        allowed = only_end if t == max_length else tf.where(tf.range(vocabulary) == start, NEVER, 0.0)
        if t == 0 and not empty:
            allowed = tf.where(tf.range(vocabulary) == end, NEVER, allowed)
        gains = tf.nn.log_softmax(logits) + allowed
        gains = tf.where(ended[..., tf.newaxis], only_end, gains)
        totals = tf.reshape(log_probs[..., tf.newaxis] + gains, [batch, -1])
        before = log_probs
        log_probs, best = tf.math.top_k(totals, tf.minimum(width, tf.shape(totals)[1]))
        parents, tokens = best // vocabulary, best % vocabulary
        gain = log_probs - tf.gather(before, parents, batch_dims=1)
        state = tf.nest.map_structure(lambda x, p=parents: tf.gather(x, p, batch_dims=1), state)
        ended = tf.gather(ended, parents, batch_dims=1) | (tokens == end)
        sequences = tf.concat([tf.gather(sequences, parents, batch_dims=1), tokens[..., tf.newaxis]], axis=-1)
        gained = tf.concat([tf.gather(gained, parents, batch_dims=1), gain[..., tf.newaxis]], axis=-1)
    return Hypotheses(sequences, log_probs, gained)
