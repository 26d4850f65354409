"""Print the value of TF_ENABLE_ONEDNN_OPTS that this machine does not default to: `python -m tests.other_onednn`.

TensorFlow turns oneDNN on if the CPU has instructions for neural networks, which changes the last digits of results.
"""

import os


def other_onednn() -> str:
    """Return the value of TF_ENABLE_ONEDNN_OPTS, "0" or "1", that differs from this process's state."""
    from tensorflow.python.util import _pywrap_util_port  # no public function returns the state

    return "0" if _pywrap_util_port.IsMklEnabled() else "1"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(other_onednn())
