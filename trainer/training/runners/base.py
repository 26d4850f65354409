"""What the ways to run training steps have in common."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Interrupted(Exception):
    """A part of the cluster was lost, and with it the steps since the last checkpoint."""


class Runner(Protocol):
    """What differs between the ways to train: how steps are run."""

    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        """Runs so many steps, fewer once the event is set, and returns mean figures over them.

        Raises:
          Interrupted: a part of the cluster was lost.
        """

    def read_step(self) -> int:
        """How many steps were made since the beginning of the experiment, restarts included."""

    def collect(self) -> None:
        """Brings the learner's variables up to date, before they are saved or read."""


def mean_figures(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each figure over steps; empty where there were none."""
    names = figures[0] if figures else {}
    return {name: sum(float(of_step[name]) for of_step in figures) / len(figures) for name in names}
