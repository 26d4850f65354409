"""Evaluate a model on the validation images during training: in the chief, or in a separate evaluator."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from trainer.data.input_pipeline import LabelledImages
from trainer.inference import metrics
from trainer.inference.predictor import Predictor
from trainer.workdir import files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """The validation images of a run, and where its measurements go.

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

    def measure(self, step: int, predictor: Predictor, best: float, keep: Callable[[], object]) -> float:
        """Read the validation images, and return the proportion of numbers that were read correctly.

        Args:
          step: the step of the weights.
          predictor: reads the images.
          best: the best accuracy so far.
          keep: keeps the weights as the best; called before the measurement is stored, so that a stored best is kept.
        """
        begin = time.monotonic()
        summary = metrics.summarise(predictor.answers(self.images))
        accuracy = summary["sequence_accuracy"]
        if accuracy > best:
            keep()
        log.info(
            "step %d validation: %.2f %% of %d numbers correct, %.2f %% of digits, best %.2f %%, in %.1f s",
            step,
            100 * accuracy,
            summary["examples"],
            100 * summary["digit_accuracy"],
            100 * max(best, accuracy),
            time.monotonic() - begin,
        )
        store(self.folder, "validation", step, metrics.scalars(summary), self.summaries, file_name=self.metrics_file)
        return float(accuracy)


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
