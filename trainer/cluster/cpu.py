"""What the CPU of this machine can do."""

import contextlib
import os
import re

BFLOAT16 = re.compile(r"^flags\s*:.*\b(avx512_bf16|amx_bf16)\b", re.MULTILINE)


def computes_in_bfloat16(description: str = "/proc/cpuinfo") -> bool:
    """Return whether TensorFlow uses this CPU's instructions for bfloat16; known of Linux on x86 only.

    Args:
      description: the file in which Linux lists them.
    """
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false"):
        return False
    with contextlib.suppress(OSError), open(description) as file:
        return bool(BFLOAT16.search(file.read()))
    return False
