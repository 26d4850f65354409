"""What threads use together, and what they return."""

import ctypes
import subprocess
import sys

import pytest

MEASURE = """
import numpy as np
from trainer.data.images import memory_budget

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) >> 10

memory_budget.return_large_blocks()
np.ones(30 << 20, np.uint8)  # freed at once: from now on, glibc would keep blocks as large
before = resident()
kept = []
for _ in range(10):
    large = np.ones(20 << 20, np.uint8)
    kept.append(np.ones(50_000, np.uint8))  # behind it, if both are on the heap
    del large
    kept.append(np.ones(30_000, np.uint8))
print(resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has mallopt")
def test_large_blocks_are_returned_once_they_are_freed() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10
