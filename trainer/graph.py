"""Trace functions as TensorFlow graphs, without AutoGraph.

AutoGraph rewrites the source of every function that it traces, so that Python's `if` and `for` may depend on tensors.
That took half of the time from the start of a command to its first step. Our functions do not need it: where something
depends on a tensor, they call `tf.where`, `tf.cond`, `tf.map_fn` or `tf.while_loop`. Python's `if` on a tensor raises.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is traced as written, like everything that it calls, e.g. for `tf.data.Dataset.map`."""
    return tf.autograph.experimental.do_not_convert(function)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Return `tf.function(function, **options)`, traced as it is written."""
    return tf.function(as_written(function), autograph=False, **options)
