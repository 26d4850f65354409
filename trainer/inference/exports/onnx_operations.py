"""TensorFlow's operations that ONNX lacks, written as ONNX functions."""

from collections.abc import Callable
from typing import Any

import onnx
from onnx import parser
from tf2onnx.graph import Graph, Node

DOMAIN, OPSET = "svhn", 18

# e^x - 1, exact near 0: 2 e^(x/2) sinh(x/2).
_EXPM1 = """
Expm1 (x) => (y) {
    halved = Constant <value_float = 0.5> ()
    doubled = Constant <value_float = 2.0> ()
    half = Mul (x, halved)
    power = Exp (half)
    sine = Sinh (half)
    product = Mul (power, sine)
    y = Mul (product, doubled)
}
"""
_LOG1P = """
Log1p (x) => (y) {
    one = Constant <value_float = 1.0> ()
    sum = Add (x, one)
    y = Log (sum)
}
"""
# What tf.image.resize(antialias=True) calls, for uint8 or float [B, H, W, C].
_SCALE_AND_TRANSLATE = """
ScaleAndTranslate (images, size, scale, translation) => (resized) {
    floats = Cast <to = 1> (images)
    planes = Transpose <perm = [0, 3, 1, 2]> (floats)
    kept = Shape <start = 0, end = 2> (planes)
    sides = Cast <to = 7> (size)
    sizes = Concat <axis = 0> (kept, sides)
    small = Resize <antialias = 1, exclude_outside = 1, mode = "linear"> (planes, , , sizes)
    resized = Transpose <perm = [0, 2, 3, 1]> (small)
}
"""
_HEADER = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>'
_BODIES = {
    "Expm1": _EXPM1,
    "Log1p": _LOG1P,
    "ScaleAndTranslate": _SCALE_AND_TRANSLATE,
}


def _call(context: Graph, node: Node, name: str, args: Any) -> None:
    """Make a node call the function of the same name, in which the node's attributes are constants."""
    for attribute in list(node.attr):
        del node.attr[attribute]
    node.domain = DOMAIN


# For tf2onnx: the handler of each operation, and its further arguments.
HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {operation: (_call, []) for operation in _BODIES}
FUNCTIONS = onnx.helper.make_opsetid(DOMAIN, 1)


def add_functions(model: onnx.ModelProto) -> None:
    """Add the functions that a model may call."""
    model.functions.extend(parser.parse_function(_HEADER + body) for body in _BODIES.values())
