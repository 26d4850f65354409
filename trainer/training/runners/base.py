"""The interface of all runners of training steps."""

import abc
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.exit_status import Interrupted
from trainer.training.train_state import TrainState


class Runner(abc.ABC):
    """Runs training steps.

    A runner is created first: it may connect to other tasks, which must precede any other TensorFlow operation.
    `begin` is called once the train state has its values. The defaults are for a process that trains alone.

    Attributes:
      has_evaluator: whether another process validates while this one trains.
      stepped: called by `run_steps` with the number of steps that were run since its last call.
    """

    has_evaluator = False
    stepped: Callable[[int], None] = staticmethod(lambda count: None)

    @abc.abstractmethod
    def begin(self, train_state: TrainState, images: LabelledImages, restore: Callable[[], str | None]) -> None:
        """Prepare to run steps.

        Args:
          train_state: the initial variables; `collect` updates them.
          images: the images to train on.
          restore: restores the train state from the newest checkpoint, and returns its path.
        """

    @abc.abstractmethod
    def run_steps(self, count: int, stop: threading.Event) -> dict[str, float]:
        """Run `count` steps, fewer if the event is set, and return mean figures over them.

        Raises:
          Interrupted: part of the cluster was lost.
        """

    @abc.abstractmethod
    def read_step(self) -> int:
        """Return the number of steps since the start of the experiment, across restarts."""

    def collect(self) -> None:  # noqa: B027
        """Update the train state, before it is saved or read."""

    def after_checkpoint(self) -> None:  # noqa: B027
        """Readmit tasks that respond again, now that no step can be lost.

        Raises:
          Interrupted: some respond, and the cluster has to be rebuilt to include them.
        """

    def agree_to_stop(self, enough: bool) -> bool:
        """Return whether this or any other training task wants to stop. All of them make this call together."""
        return enough

    def recover(self, reason: Interrupted) -> None:
        """Resume from the newest checkpoint after an interruption.

        Raises:
          Interrupted: the process has to be restarted.
          Failed: the cluster was lost too often.
        """
        raise reason

    def close(self) -> None:  # noqa: B027
        """Wait at a final barrier for all tasks that train together, so that none exits while another needs it."""


def mean_figures(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each figure over steps; an empty dictionary if there were no steps."""
    names = figures[0] if figures else {}
    return {name: sum(float(of_step[name]) for of_step in figures) / len(figures) for name in names}
