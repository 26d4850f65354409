"""What the CPU of this machine can do."""

import os
import re
from pathlib import Path

BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def flags(description: str = "/proc/cpuinfo") -> set[str]:
    """Return the CPU's instruction sets, as Linux names them; none on other systems.

    Args:
      description: the file in which Linux lists them.
    """
    try:
        text = Path(description).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def computes_in_bfloat16(description: str = "/proc/cpuinfo") -> bool:
    """Return whether TensorFlow uses this CPU's instructions for bfloat16; known of Linux on x86 only."""
    is_off = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() in ("0", "false")
    return not is_off and bool(BFLOAT16 & flags(description))
