"""The outer loop: runs steps up to the next one at which a hook wants to act, and lets it act."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from trainer.cluster.stopping import Stopped, status_of, stoppable
from trainer.training.runners.base import Interrupted

log = logging.getLogger(__name__)


class StopTraining(Exception):
    """Raised by a hook that has seen enough, e.g. early stopping."""


@dataclass(frozen=True)
class Hook:
    """Something done each `every` steps, at the last step, and where `on_stop` is set, when asked to stop.

    `act` takes the step and the figures of the steps since the last call of any hook. Where `seconds` are given,
    it also acts when so much time has passed, at the next step at which any hook acts. `recovered` is told the step at
    which training goes on after a part of the cluster was lost, which is below that of the last call.
    """

    every: int
    act: Callable[[int, dict[str, float]], None]
    on_stop: bool = False
    seconds: float = 0
    recovered: Callable[[int], None] = lambda step: None


def run(
    run_steps: Callable[[int, threading.Event], dict[str, float]],
    read_step: Callable[[], int],
    hooks: list[Hook],
    *,
    total_steps: int,
    agree: Callable[[bool], bool] = bool,
    part: Callable[[], None] = lambda: None,
    recover: Callable[[Interrupted], None] | None = None,
    asked_to_stop: Callable[[int], None] = lambda status: None,
) -> None:
    """Train until `total_steps`, a hook raises `StopTraining`, or a signal asks to stop: SIGTERM, SIGHUP or Ctrl-C.

    Args:
      run_steps, read_step: see `Runner`.
      hooks: run in their order.
      total_steps: the step to stop at.
      agree: tells, after hooks have run, whether those of any worker have seen enough.
      part: called last, when all workers end or stop together.
      recover: brings training back after an interruption; without it, an interruption is raised.
      asked_to_stop: called in the handler of the signal, with the exit status that is due.
    Raises:
      Stopped: a signal came; hooks with `on_stop` have run where the cluster was whole.
    """
    stop, reasons = threading.Event(), [signal.SIGTERM]  # another worker was asked where no signal came here

    def on_signal(number: int) -> None:
        reasons.append(signal.Signals(number))
        stop.set()
        asked_to_stop(status_of(number))

    with stoppable(on_signal):
        acted: dict[Hook, float] = {}
        step, enough = read_step(), False
        while step < total_steps and not enough:
            upto = min(min((step // hook.every + 1) * hook.every for hook in hooks), total_steps)
            try:
                figures = run_steps(upto - step, stop)
                step = read_step()
                stopped = stop.is_set() and step < upto
                last = step >= total_steps
                due = [hook for hook in hooks if (hook.on_stop if stopped else last or _is_due(hook, step, acted))]
                enough = agree(_acted(due, step, figures, acted))
            except Interrupted as reason:
                if stop.is_set():
                    why = f"stopped by {reasons[-1].name} after step {step}, while the cluster was not whole"
                    raise Stopped(why, reasons[-1]) from reason
                if recover is None:
                    raise
                recover(reason)
                step = read_step()
                for hook in hooks:
                    hook.recovered(step)
                continue
            if stopped:
                part()
                raise Stopped(f"stopped by {reasons[-1].name} at step {step}", reasons[-1])
        part()


def _is_due(hook: Hook, step: int, acted: dict[Hook, float]) -> bool:
    since = time.monotonic() - acted.setdefault(hook, time.monotonic())
    return step % hook.every == 0 or 0 < hook.seconds <= since


def _acted(due: list[Hook], step: int, figures: dict[str, float], acted: dict[Hook, float]) -> bool:
    """Lets hooks act; whether one of them has seen enough."""
    enough = False
    for hook in due:
        try:
            hook.act(step, figures)
        except StopTraining as reason:
            log.info("%s", reason)
            enough = True
        acted[hook] = time.monotonic()
    return enough


class Speed:
    """Examples a second and time left, since the last call or since the beginning."""

    def __init__(self, batch_size: int, first_step: int, total_steps: int) -> None:
        self.batch_size, self.total_steps = batch_size, total_steps
        self.step, self.time = first_step, time.monotonic()

    def pause(self, seconds: float) -> None:
        """Leaves out seconds that were not spent training."""
        self.time += seconds

    def restart(self, step: int) -> None:
        """Measure from this step on, to which training has gone back, and from now."""
        self.step, self.time = step, time.monotonic()

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
