"""Handle Ctrl-C while a pipeline runs: one line, exit status 130, and no process left behind.

Beam would pass an exception through its threads and worker processes, which the terminal also interrupts, and each
would print a traceback. Exiting at once loses nothing, since an unfinished shard does not have its final name yet.
"""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from trainer import logs
from trainer.cli import UserError
from trainer.cluster.stopping import STOP_SIGNALS

SEPARATE = "multi_processing"  # a value of Beam's --direct_running_mode


def local_runner(options: PipelineOptions) -> FnApiRunner:
    """Return Beam's local engine; its worker processes, if any, run the `worker` module.

    Raises:
      UserError: worker processes on Windows, which has no shell to start them.
    """
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != SEPARATE:
        return FnApiRunner()
    if sys.platform == "win32":
        raise UserError(f"--direct_running_mode {SEPARATE} needs Linux or macOS: leave it out")
    direct.direct_running_mode = "in_memory"  # otherwise the engine would start Beam's own processes
    command = shlex.join([sys.executable, "-m", "beam_pipelines.sharding.worker", str(os.getpid())])
    ignoring = f"trap '' INT HUP; exec {command}"  # until the worker has its own process group
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(ignoring))


@contextmanager
def ended_at_once(message: str) -> Iterator[None]:
    """Exit with a message on Ctrl-C or SIGHUP inside the block, even while the main thread waits for Beam.

    A signal that is ignored, such as SIGHUP under nohup, stays ignored.
    """
    numbers = [n for n in STOP_SIGNALS if n != signal.SIGTERM and signal.getsignal(n) is not signal.SIG_IGN]
    if not numbers or threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    if hasattr(os, "set_blocking"):
        os.set_blocking(writing, False)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    wakened = signal.set_wakeup_fd(writing)  # Python's own handlers would wait until the main thread is free
    waiting = threading.Thread(target=_wait, args=(reading, numbers, message), daemon=True, name="interrupts")
    waiting.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakened)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writing, b"\0")
        waiting.join()
        os.close(writing)
        os.close(reading)


def _wait(reading: int, numbers: list[signal.Signals], message: str) -> None:
    while number := os.read(reading, 1)[0]:
        if number in numbers:
            _end(number, message)


def _end(number: int, message: str) -> None:
    begin = "\n" if sys.stderr.isatty() and not logs.chosen().json else ""
    logs.say(f"{begin}{message}", logging.ERROR)
    os._exit(128 + number)
