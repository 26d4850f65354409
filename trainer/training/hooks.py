"""Write the outputs of training: log lines, metrics, TensorBoard scalars, checkpoints, and the best checkpoint."""

import logging
import math
import time

import tensorflow as tf

from trainer.config.schema import Config
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.training import loop
from trainer.training.speed import Speed, clock
from trainer.training.validation import Validated, Validation, store
from trainer.workdir import files
from trainer.workdir.checkpoint import Checkpoints

log = logging.getLogger(__name__)


class ChiefHooks:
    """Hooks for `loop.run`."""

    def __init__(self, folder: str, config: Config, checkpoints: Checkpoints, *, figure: str, first_step: int) -> None:
        """Start at a step; `figure` names the figure that is logged with the loss."""
        self.folder, self.config, self.checkpoints, self.figure = folder, config, checkpoints, figure
        self.speed = Speed(config.data.batch_size, first_step, config.train.steps)
        self.summaries = tf.summary.create_file_writer(f"{folder}/tensorboard")
        self._scalars = self.summaries if config.tensorboard.scalars else None
        done = files.last_finish(folder)  # by a shorter run, or one with less patience: patience restarts there
        self.counted_from = done["step"] if done else 0
        measure, counted_from = config.model.measure, self.counted_from
        self.best, self.since_best = best_so_far(folder, measure, upto=first_step, counted_from=counted_from)
        self.profiling = False
        self.profile_left = config.train.profile_after > 0

    def log_training(self, step: int, figures: dict[str, float]) -> None:
        """Log and store the figures.

        Raises:
          FloatingPointError: the loss is not finite; the message names the steps.
        """
        if not math.isfinite(figures["loss"]):
            first = step - self.config.train.log_every
            raise FloatingPointError(
                f"the loss became {figures['loss']} between steps {first} and {step}: lower "
                "optimizer.learning_rate or optimizer.clip_norm; the last checkpoint predates this"
            )
        examples_per_second, left = self.speed.measure(step)
        log.info(
            "step %d/%d  loss %.4f  %s %.3f  %.0f examples/s  left %s",
            step,
            self.config.train.steps,
            figures["loss"],
            self.figure.replace("_", " "),
            figures[self.figure],
            examples_per_second,
            clock(left),
        )
        scalars = {**figures, "examples_per_second": examples_per_second}
        store(self.folder, "training", step, scalars, self._scalars)

    def profile(self, step: int, _: dict[str, float]) -> None:
        """Record one interval of steps for TensorBoard's profiler, once."""
        if self.profiling:
            tf.profiler.experimental.stop()
            self.profiling = False
            log.info("profiled up to step %d: see %s/tensorboard", step, self.folder)
        elif self.profile_left and step >= self.config.train.profile_after:
            tf.profiler.experimental.start(f"{self.folder}/tensorboard")
            self.profiling, self.profile_left = True, False

    def save(self, step: int, _: dict[str, float]) -> None:
        begin = time.monotonic()
        path = self.checkpoints.save(step)
        log.info("saved %s in %.2f s", path, time.monotonic() - begin)
        self.speed.pause(time.monotonic() - begin)

    def validate(self, step: int, predictor: Validated, images: LabelledImages) -> None:
        """Read the validation images, keep the best checkpoint, and stop when patience runs out.

        Raises:
          loop.StopTraining: validation has not improved for `train.patience` evaluations.
        """
        begin = time.monotonic()
        validation = Validation(self.folder, images, files.METRICS_FILE, self._scalars)
        accuracy = validation.measure(step, predictor, self.best, lambda: self.checkpoints.save_best(step))
        self.since_best += 1
        if accuracy > self.best:
            self.best, self.since_best = accuracy, 0
        self.speed.pause(time.monotonic() - begin)
        self._check_patience(step)

    def follow_evaluator(self, step: int, _: dict[str, float]) -> None:
        """Stop when patience runs out, based on the evaluator's results so far.

        Raises:
          loop.StopTraining: validation has not improved for `train.patience` evaluations.
        """
        measure, counted_from = self.config.model.measure, self.counted_from
        self.best, self.since_best = best_so_far(self.folder, measure, upto=step, counted_from=counted_from)
        self._check_patience(step)

    def _check_patience(self, step: int) -> None:
        if self.config.train.patience and self.since_best >= self.config.train.patience:
            raise loop.StopTraining(f"validation did not improve for {self.since_best} evaluations: stopping at {step}")


def best_so_far(folder: str, measure: str, *, upto: float = math.inf, counted_from: int = 0) -> tuple[float, int]:
    """Return the highest value of a validation figure up to a step, and the number of evaluations since.

    The value is -1 if there was none. As in training, a tie is not an improvement; evaluations up to the step
    `counted_from` do not count.
    """
    rows = [row for row in files.read_metrics(folder) if row["kind"] == "validation" and row["step"] <= upto]
    best = max((row[measure] for row in rows), default=-1.0)
    first = next((row["step"] for row in rows if row[measure] == best), 0)
    return best, sum(row["step"] > max(first, counted_from) for row in rows)
