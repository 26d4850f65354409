"""What the ways to run training steps have in common."""

import abc
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.data.input_pipeline import LabelledImages
from trainer.exit_status import Interrupted
from trainer.training.train_state import TrainState


class Runner(abc.ABC):
    """Run training steps.

    A runner is made first, as it may connect with other tasks, which must come before any other TensorFlow operation;
    `begin` comes once the train state has its values. The defaults are those of a process that trains alone.

    Attributes:
      has_evaluator: whether another process validates while this one trains.
    """

    has_evaluator = False

    @abc.abstractmethod
    def begin(self, train_state: TrainState, images: LabelledImages, restore: Callable[[], str | None]) -> None:
        """Get ready to run steps.

        Args:
          train_state: the variables to begin with; `collect` brings them up to date.
          images: what to train on.
          restore: gives the train state the values of the newest checkpoint, and returns its path.
        """

    @abc.abstractmethod
    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        """Run so many steps, fewer once the event is set, and return mean figures over them.

        Raises:
          Interrupted: a part of the cluster was lost.
        """

    @abc.abstractmethod
    def read_step(self) -> int:
        """Return how many steps were made since the beginning of the experiment, restarts included."""

    def collect(self) -> None:  # noqa: B027
        """Bring the train state up to date, before it is saved or read."""

    def after_checkpoint(self) -> None:  # noqa: B027
        """Take in tasks that came back, now that no step can be lost.

        Raises:
          Interrupted: there are some, for which the cluster has to be made anew.
        """

    def agree_to_stop(self, enough: bool) -> bool:
        """Return whether this or any other task that trains has seen enough. All of them make this call together."""
        return enough

    def recover(self, reason: Interrupted) -> None:
        """Go on from the newest checkpoint after an interruption.

        Raises:
          Interrupted: the process has to be started again.
          Failed: the cluster was lost too often.
        """
        raise reason

    def close(self) -> None:  # noqa: B027
        """Wait, after the last step, until all that train together are there: nobody leaves a task that needs it."""


def mean_figures(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each figure over steps; empty where there were none."""
    names = figures[0] if figures else {}
    return {name: sum(float(of_step[name]) for of_step in figures) / len(figures) for name in names}
