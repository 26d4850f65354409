"""Timeouts and retry limits for distributed training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long and how often a cluster tolerates failures.

    Attributes:
      hang: seconds without progress, while another task does not answer, before a process exits.
      wait: seconds to wait for other tasks, at the start and after they were lost.
      restarts: recoveries without progress before a process gives up.
      least_workers: the fewest workers with which training on parameter servers continues.
    """

    hang: float = 120.0
    wait: float = 600.0
    restarts: int = 10
    least_workers: int = 1

    @property
    def patience(self) -> float:
        """Seconds that servers, workers and the evaluator wait for a silent chief.

        The chief is silent while it waits for the others itself, so they must wait longer; otherwise both sides could
        time out alternately.
        """
        return 3 * self.wait
