"""Compute a signature in bfloat16, whatever else the process computes."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def calling(signature: Any) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a function that computes what a signature of a SavedModel does, in bfloat16 on the CPU.

    TensorFlow decides operation by operation: convolutions and matrix products are rounded, exponentials and long sums
    stay in float32. Its option for that holds for all functions of a process and is cached by thread, so it is given
    with this call alone.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1  # on
    serialized, captured = config.SerializeToString(), list(signature.captured_inputs)
    names = [tensor.name.partition(":")[0] for tensor in signature.inputs[: len(signature.inputs) - len(captured)]]
    dtypes = [tensor.dtype for tensor in signature.outputs]

    def call(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        args = [inputs[name] for name in names] + captured
        out = tf.raw_ops.StatefulPartitionedCall(args=args, Tout=dtypes, f=signature, config_proto=serialized)
        return tf.nest.pack_sequence_as(signature.structured_outputs, out)

    return call
