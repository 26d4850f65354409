"""Timeouts and retry limits for distributed training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a cluster bears.

    Attributes:
      hang: seconds that nothing may move while another task does not answer.
      wait: seconds to wait for other tasks, at the beginning and after they were lost.
      restarts: recoveries in one process without a step gained.
      least_workers: workers without which parameter servers do not go on.
    """

    hang: float = 120.0
    wait: float = 600.0
    restarts: int = 10
    least_workers: int = 1

    @property
    def patience(self) -> float:
        """Seconds that servers, workers and the evaluator wait for a silent chief.

        The chief is silent while it waits for the others itself, so theirs is longer, or they would take turns in
        giving up.
        """
        return 3 * self.wait
