"""Run a command, but wait only half a second for the first answer of a store.

Usage: `python -m tests.impatient MODULE ARGUMENTS ...`
"""

import runpy
import sys

from trainer.files import first_contact

if __name__ == "__main__":
    first_contact.SECONDS = 0.5
    sys.argv = sys.argv[1:]
    module = sys.argv[0]
    sys.modules.pop(module, None)  # runpy would warn that it is imported already
    runpy.run_module(module, run_name="__main__", alter_sys=True)
