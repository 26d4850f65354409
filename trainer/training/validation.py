"""Evaluate a model on the validation images during training: in the chief, or in a separate evaluator."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.inference.measuring.measured import Measured, Shown
from trainer.workdir import files

log = logging.getLogger(__name__)


class Validated(Protocol):
    """The interface of what can be validated: a recogniser's predictor, or a finder."""

    def validate(self, labelled: LabelledImages) -> Measured:
        """Measure the answers to labelled images."""

    def shown(self, labelled: LabelledImages) -> list[Shown]:
        """Return the answer to each of a few labelled images."""


@dataclass(frozen=True)
class Validation:
    """The validation images of a run, and where measurements are written.

    Attributes:
      folder: the work folder.
      images: the validation images.
      metrics_file: the name of the metrics file of this process, in the work folder.
      summaries: for TensorBoard; None if scalars are disabled.
    """

    folder: str
    images: LabelledImages
    metrics_file: str
    summaries: tf.summary.SummaryWriter | None

    def measure(self, step: int, predictor: Validated, best: float, keep: Callable[[], object]) -> float:
        """Read the validation images, and return the figure by which the best checkpoint is chosen.

        Args:
          step: the step of the weights.
          predictor: reads the images, or finds their numbers.
          best: the highest such figure so far.
          keep: saves the weights as the best; called before the measurement is stored, so that the checkpoint of every
            stored best figure exists.
        """
        begin = time.monotonic()
        measured = predictor.validate(self.images)
        if measured.score > best:
            keep()
        seconds, highest = time.monotonic() - begin, 100 * max(best, measured.score)
        log.info("step %d validation: %s, best %.2f %%, in %.1f s", step, measured.text, highest, seconds)
        store(self.folder, "validation", step, measured.scalars, self.summaries, file_name=self.metrics_file)
        return measured.score


def store(
    folder: str,
    kind: str,
    step: int,
    scalars: dict[str, float],
    summaries: tf.summary.SummaryWriter | None,
    *,
    file_name: str = files.METRICS_FILE,
) -> None:
    """Append figures to a metrics file of the work folder, and write them for TensorBoard if a writer is given."""
    files.append_metrics(folder, {"kind": kind, "step": step, **scalars}, file_name=file_name)
    if summaries:
        with summaries.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(f"{kind}/{name}", value)
        summaries.flush()
