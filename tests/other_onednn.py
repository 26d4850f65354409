"""Prints the value of TF_ENABLE_ONEDNN_OPTS that this machine does not have by itself: `python -m tests.other_onednn`.

TensorFlow turns oneDNN on where the CPU has instructions for neural networks, which changes the last digits of results.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tensorflow.python.util import _pywrap_util_port  # the only place that tells

print("0" if _pywrap_util_port.IsMklEnabled() else "1")
