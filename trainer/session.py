"""The outer loop: runs steps up to the next one at which a hook wants to act, and lets it act."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

STOPPED_STATUS = 143  # on SIGTERM; not 0, which would tell Kubernetes that the job is done


class Stopped(Exception):
    """The process was asked to stop (SIGTERM); the hooks have run, so the work is saved."""


class StopTraining(Exception):
    """Raised by a hook that has seen enough, e.g. early stopping."""


@dataclass(frozen=True)
class Hook:
    """Something done each `every` steps, at the last step, and where `on_stop` is set, when asked to stop.

    `act` takes the step and the figures of the steps since the last call of any hook.
    """

    every: int
    act: Callable[[int, dict[str, float]], None]
    on_stop: bool = False


def run(
    run_steps: Callable[[int, threading.Event], dict[str, float]],
    read_step: Callable[[], int],
    hooks: list[Hook],
    *,
    total_steps: int,
) -> None:
    """Trains until `total_steps`, a hook raises `StopTraining`, or SIGTERM.

    Args:
      run_steps: runs so many steps, fewer once the event is set, and returns mean figures over them.
      read_step: how many steps were made since the beginning of the experiment, restarts included.
      hooks: run in their order.
      total_steps: the step to stop at.
    Raises:
      Stopped: SIGTERM came; hooks with `on_stop` have run.
    """
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        step = read_step()
        while step < total_steps:
            upto = min(min((step // hook.every + 1) * hook.every for hook in hooks), total_steps)
            figures = run_steps(upto - step, stop)
            step = read_step()
            for hook in hooks:
                if step % hook.every == 0 or step >= total_steps or (stop.is_set() and hook.on_stop):
                    hook.act(step, figures)
            if stop.is_set() and step < total_steps:
                raise Stopped(f"stopped by SIGTERM at step {step}")
    except StopTraining as reason:
        log.info("%s", reason)
    finally:
        signal.signal(signal.SIGTERM, before)


class Speed:
    """Examples a second and time left, since the last call or since the beginning."""

    def __init__(self, batch_size: int, first_step: int, total_steps: int) -> None:
        self.batch_size, self.total_steps = batch_size, total_steps
        self.step, self.time = first_step, time.monotonic()

    def pause(self, seconds: float) -> None:
        """Leaves out seconds that were not spent training."""
        self.time += seconds

    def measure(self, step: int) -> tuple[float, float]:
        """Examples a second since the last call, and at that rate the seconds to the end."""
        now = time.monotonic()
        steps_per_second = (step - self.step) / max(now - self.time, 1e-9)
        self.step, self.time = step, now
        return steps_per_second * self.batch_size, (self.total_steps - step) / max(steps_per_second, 1e-9)


def clock(seconds: float) -> str:
    """`0:07:31`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"


def mean_figures(sums: dict[str, Any], count: int) -> dict[str, float]:
    return {name: float(total) / count for name, total in sums.items()}
