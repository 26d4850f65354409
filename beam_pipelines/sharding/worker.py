"""Run a worker process of Beam's local engine: `python -m beam_pipelines.sharding.worker LAUNCHER_PID`.

It has its own process group, so that the terminal interrupts only the command; and Linux ends it when the command ends,
even if that is killed.
"""

import os
import runpy
import signal
import sys

from beam_pipelines import beam_import
from trainer.cluster import child


def main() -> None:
    child.end_with(int(sys.argv.pop(1)))
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # both signals were ignored until here
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    beam_import.import_beam()
    runpy.run_module("apache_beam.runners.worker.sdk_worker_main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
