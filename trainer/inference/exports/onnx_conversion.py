"""Convert a TensorFlow function into an ONNX model."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from onnx import numpy_helper
from tf2onnx import optimizer, tf_loader, tfonnx

from trainer import graph
from trainer.inference.exports import onnx_operations

LARGE = 1000  # constants with at least this many values are stored as float16
# Batch normalisation is fused into the convolutions only when a model is loaded: fused weights would need float32.
KEPT_APART = ["ConvBNFusion", "ConvMulFusion", "ConvAddFusion"]  # optimisations of ONNX Runtime
OPTIMIZERS = {name: one for name, one in optimizer._get_optimizers().items() if name != "remove_back_to_back"}


def convert(function: Callable[..., dict[str, Any]], inputs: list[tf.TensorSpec], *, half: bool) -> onnx.ModelProto:
    """Return a function of tensors as an ONNX model whose inputs and outputs have the same names.

    Args:
      function: returns a tensor for each name.
      inputs: of the function, with names.
      half: store weights as float16; the computation is in float32 in any case.
    """
    concrete = graph.compiled(function, input_signature=inputs).get_concrete_function()
    names = [tensor.name for tensor in concrete.inputs if tensor.dtype != tf.resource]
    outputs = concrete.structured_outputs
    tensors = [tensor.name for tensor in concrete.outputs]
    renamed = dict(zip(names, (spec.name for spec in inputs), strict=True)) | dict(
        zip(tensors, sorted(outputs), strict=True)
    )
    with tf.device("/cpu:0"):
        frozen = tf_loader.from_function(concrete, names, tensors)
    with tf.Graph().as_default() as frozen_graph:
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            frozen_graph,
            opset=onnx_operations.OPSET,
            custom_op_handlers=onnx_operations.HANDLERS,
            extra_opset=[onnx_operations.FUNCTIONS],
            input_names=names,
            output_names=tensors,
            tensors_to_rename=renamed,
        )
    simplified = optimizer.optimize_graph(converted, catch_errors=False, optimizers=OPTIMIZERS)
    model = simplified.make_model("trainer.export")
    onnx_operations.add_functions(model)
    optimised = _optimised(model)
    return _halved(optimised) if half else optimised


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model optimised as a runtime would do on loading, with its functions inlined."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3  # errors
    with tempfile.TemporaryDirectory() as scratch:
        options.optimized_model_filepath = os.path.join(scratch, "model.onnx")
        providers = ["CPUExecutionProvider"]
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers, disabled_optimizers=KEPT_APART)
        optimised = onnx.load(options.optimized_model_filepath)
    versions = {opset.domain: opset.version for opset in optimised.opset_import}
    del optimised.opset_import[:]
    optimised.opset_import.append(onnx.helper.make_opsetid("", versions[""]))  # it uses no others any more
    return optimised


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that stores as float16 the constants that lose nothing, i.e. weights that were float16."""
    casts = []
    for stored in model.graph.initializer:
        values = numpy_helper.to_array(stored)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = stored.name
        stored.CopyFrom(numpy_helper.from_array(half, f"{name}/half"))
        casts.append(onnx.helper.make_node("Cast", [stored.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
