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
# Resize the first dimension of float [length, N] to [outputs, N] with TensorFlow's triangle, which is as wide as two
# pixels of the smaller of both. ONNX's own Resize differs from it by up to 18 of 255 near edges.
_RESIZE_ROWS = """
ResizeRows (values, outputs, scale) => (resized) {
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    second = Constant <value_ints = [1]> ()
    none = Constant <value_float = 0.0> ()
    half = Constant <value_float = 0.5> ()
    unit = Constant <value_float = 1.0> ()
    lengths = Shape <start = 0, end = 1> (values)
    length = Squeeze (lengths)
    last = Sub (length, one)
    last_float = Cast <to = 1> (last)
    stretch = Reciprocal (scale)
    reach = Max (stretch, unit)
    reach_up = Ceil (reach)
    reach_pixels = Cast <to = 7> (reach_up)
    twice = Mul (reach_pixels, two)
    all_taps = Add (twice, one)
    taps = Min (all_taps, length)
    numbers = Range (zero, outputs, one)
    number_floats = Cast <to = 1> (numbers)
    centres = Add (number_floats, half)
    middles_flat = Mul (centres, stretch)
    middles = Unsqueeze (middles_flat, second)
    begins = Sub (middles, reach)
    half_before = Sub (begins, half)
    firsts = Ceil (half_before)
    inside_low = Max (firsts, none)
    inside_high = Min (inside_low, last_float)
    start = Cast <to = 7> (inside_high)
    steps = Range (zero, taps, one)
    places = Add (start, steps)
    place_floats = Cast <to = 1> (places)
    place_centres = Add (place_floats, half)
    offsets = Sub (place_centres, middles)
    relative = Div (offsets, reach)
    distances = Abs (relative)
    heights = Sub (unit, distances)
    triangle = Max (heights, none)
    beyond = Greater (places, last)
    weights = Where (beyond, none, triangle)
    sums = ReduceSum <keepdims = 1> (weights, second)
    shares = Div (weights, sums)
    shares_row = Unsqueeze (shares, second)
    bounded = Min (places, last)
    rows = Gather <axis = 0> (values, bounded)
    products = MatMul (shares_row, rows)
    resized = Squeeze (products, second)
}
"""
# What tf.image.resize(antialias=True) calls, for uint8 or float [B, H, W, C].
_SCALE_AND_TRANSLATE = f"""
ScaleAndTranslate (images, size, scale, translation) => (resized) {{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    sizes = Cast <to = 7> (size)
    height = Gather (sizes, zero)
    width = Gather (sizes, one)
    scale_down = Gather (scale, zero)
    scale_across = Gather (scale, one)
    floats = Cast <to = 1> (images)
    flat_shape = Constant <value_ints = [0, -1]> ()
    rows = Transpose <perm = [1, 0, 2, 3]> (floats)
    rows_flat = Reshape (rows, flat_shape)
    fewer_rows = {DOMAIN}.ResizeRows (rows_flat, height, scale_down)
    after_rows = Shape <start = 1, end = 4> (rows)
    some = Constant <value_ints = [-1]> ()
    low_shape = Concat <axis = 0> (some, after_rows)
    low = Reshape (fewer_rows, low_shape)
    columns = Transpose <perm = [2, 1, 0, 3]> (low)
    columns_flat = Reshape (columns, flat_shape)
    fewer_columns = {DOMAIN}.ResizeRows (columns_flat, width, scale_across)
    after_columns = Shape <start = 1, end = 4> (columns)
    small_shape = Concat <axis = 0> (some, after_columns)
    small = Reshape (fewer_columns, small_shape)
    resized = Transpose <perm = [1, 2, 0, 3]> (small)
}}
"""
_HEADER = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}, "{DOMAIN}" : 1]>'
_BODIES = {
    "Expm1": _EXPM1,
    "Log1p": _LOG1P,
    "ScaleAndTranslate": _SCALE_AND_TRANSLATE,
    "ResizeRows": _RESIZE_ROWS,
}


def _call(context: Graph, node: Node, name: str, args: Any) -> None:
    """Let a node call the function of its name; its attributes are constants in there."""
    for attribute in list(node.attr):
        del node.attr[attribute]
    node.domain = DOMAIN


# For tf2onnx: what to do with an operation, and further arguments.
HANDLERS: dict[str, tuple[Callable[..., None], list[str]]] = {operation: (_call, []) for operation in _BODIES}
FUNCTIONS = onnx.helper.make_opsetid(DOMAIN, 1)


def add_functions(model: onnx.ModelProto) -> None:
    """Add the functions that a model may call."""
    model.functions.extend(parser.parse_function(_HEADER + body) for body in _BODIES.values())
