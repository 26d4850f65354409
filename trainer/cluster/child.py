"""Run `trainer.train` as a process of a local cluster or a search; Linux ends it when its launcher ends or is killed.

The process requests this itself. A launcher that did so between fork and exec would occasionally lose the new process
to gRPC's fork handlers, since its probes keep gRPC's threads busy.

`python -m trainer.cluster.child LAUNCHER_PID ARGUMENTS`
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # of prctl(2)


def main() -> None:
    end_with(int(sys.argv.pop(1)))
    runpy.run_module("trainer.train", run_name="__main__", alter_sys=True)


def end_with(launcher: int) -> None:
    """Have Linux end this process when its launcher ends; do nothing on other systems."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # the launcher ended before the call above
            sys.exit(1)


if __name__ == "__main__":
    main()
