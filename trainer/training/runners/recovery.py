"""Brings training back in the chief's process after a server was lost."""

import logging
import time

from trainer.exit_status import Failed
from trainer.training.runners.base import Interrupted
from trainer.training.runners.parameter_server import ParameterServers
from trainer.workdir.checkpoint import Checkpoints

log = logging.getLogger(__name__)


class Recovery:
    """Restores the last checkpoint and spreads it over the servers that are there, for `loop.run`."""

    def __init__(self, runner: ParameterServers, checkpoints: Checkpoints, restarts: int) -> None:
        self.runner, self.checkpoints, self.restarts = runner, checkpoints, restarts
        self.failures, self.last_step = 0, -1

    def __call__(self, reason: Exception) -> None:
        """Recovers, trying again as often as allowed.

        Raises:
          Failed: it was not enough.
        """
        begin, reached = time.monotonic(), self.runner.read_step()
        while True:
            self.failures += 1
            if self.failures > self.restarts:
                raise Failed(f"gave up after {self.restarts} recoveries without a step gained") from reason
            log.warning("interrupted at step %d: %s", reached, reason)
            path = self.checkpoints.restore()
            try:
                self.runner.reconnect()
            except Interrupted as again:
                reason = again
                continue
            break
        step = self.runner.read_step()
        if step > self.last_step:
            self.failures, self.last_step = 0, step
        seconds = time.monotonic() - begin
        log.warning("recovered in %.1f s: %d steps lost, from step %d (%s)", seconds, reached - step, step, path)
