"""The training loop: run steps until a hook is due, run the hook, repeat."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainer import progress
from trainer.cluster.stopping import Stopped, status_of, stoppable
from trainer.exit_status import Interrupted
from trainer.training.runners.base import Runner

log = logging.getLogger(__name__)


class StopTraining(Exception):
    """Raised by a hook to end training early."""


@dataclass(frozen=True)
class Hook:
    """An action to run every `every` steps, at the last step, and, if `on_stop` is set, when training is asked to stop.

    `act` takes the step and the figures of the steps since the last call of any hook. If `seconds` is set, it also
    runs once that time has passed, at the next step at which any hook runs. `recovered` takes the step from which
    training resumes after part of the cluster was lost; it is lower than that of the last call.
    """

    every: int
    act: Callable[[int, dict[str, float]], None]
    on_stop: bool = False
    seconds: float = 0
    recovered: Callable[[int], None] = lambda step: None


def run(
    runner: Runner,
    hooks: list[Hook],
    total_steps: int,
    *,
    asked_to_stop: Callable[[int], None] = lambda status: None,
) -> None:
    """Train until `total_steps`, a hook raises `StopTraining`, or a signal asks to stop: SIGTERM, SIGHUP or Ctrl-C.

    Args:
      runner: runs the steps.
      hooks: run between steps, in this order.
      total_steps: the step to stop at.
      asked_to_stop: called by the signal handler with the coming exit status.
    Raises:
      Stopped: a signal arrived; hooks with `on_stop` have run if the cluster was complete.
      Interrupted or Failed: as from `Runner.recover`.
    """
    stop, reasons = threading.Event(), [signal.SIGTERM]  # the default if another worker got the signal

    def on_signal(number: int) -> None:
        reasons.append(signal.Signals(number))
        stop.set()
        asked_to_stop(status_of(number))

    with stoppable(on_signal), _bar(runner, total_steps):
        acted: dict[Hook, float] = {}
        step, enough = runner.read_step(), False
        while step < total_steps and not enough:
            upto = min(min((step // hook.every + 1) * hook.every for hook in hooks), total_steps)
            try:
                figures = runner.run_steps(upto - step, stop)
                step = runner.read_step()
                stopped = stop.is_set() and step < upto
                last = step >= total_steps
                due = [hook for hook in hooks if (hook.on_stop if stopped else last or _is_due(hook, step, acted))]
                enough = runner.agree_to_stop(_acted(due, step, figures, acted))
            except Interrupted as reason:
                if stop.is_set():
                    why = f"stopped by {reasons[-1].name} after step {step}, while the cluster was incomplete"
                    raise Stopped(why, reasons[-1]) from reason
                runner.recover(reason)
                step = runner.read_step()
                for hook in hooks:
                    hook.recovered(step)
                continue
            if stopped:
                runner.close()
                raise Stopped(f"stopped by {reasons[-1].name} at step {step}", reasons[-1])
        runner.close()


@contextlib.contextmanager
def _bar(runner: Runner, total_steps: int) -> Iterator[None]:
    """Show a progress bar on a terminal; logs only get the lines of the hooks."""
    step = runner.read_step()
    with progress.bar("training", total_steps, unit="step", done=step) as show:

        def stepped(count: int) -> None:
            nonlocal step
            step += count
            show(step)

        runner.stepped = stepped
        yield


def _is_due(hook: Hook, step: int, acted: dict[Hook, float]) -> bool:
    since = time.monotonic() - acted.setdefault(hook, time.monotonic())
    return step % hook.every == 0 or 0 < hook.seconds <= since


def _acted(due: list[Hook], step: int, figures: dict[str, float], acted: dict[Hook, float]) -> bool:
    """Run hooks, and return whether one of them ends training."""
    enough = False
    for hook in due:
        try:
            hook.act(step, figures)
        except StopTraining as reason:
            log.info("%s", reason)
            enough = True
        acted[hook] = time.monotonic()
    return enough
