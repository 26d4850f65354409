"""Write the outputs of training: log lines, metrics, TensorBoard scalars, checkpoints, and the best checkpoint."""

import logging
import math
import time

import tensorflow as tf

from trainer.config.schema import Config
from trainer.data.input_pipeline import LabelledImages
from trainer.inference.predictor import Predictor
from trainer.training import loop
from trainer.training.speed import Speed, clock
from trainer.training.validation import Validation, store
from trainer.workdir import files
from trainer.workdir.checkpoint import Checkpoints

log = logging.getLogger(__name__)


class ChiefHooks:
    """Hooks for `loop.run`."""

    def __init__(self, folder: str, config: Config, checkpoints: Checkpoints, *, first_step: int) -> None:
        self.folder, self.config, self.checkpoints = folder, config, checkpoints
        self.speed = Speed(config.data.batch_size, first_step, config.train.steps)
        self.summaries = tf.summary.create_file_writer(f"{folder}/tensorboard")
        self._scalars = self.summaries if config.tensorboard.scalars else None
        done = files.last_finish(folder)  # by a shorter run, or one with less patience: patience restarts there
        self.counted_from = done["step"] if done else 0
        self.best, self.since_best = best_so_far(folder, upto=first_step, counted_from=self.counted_from)
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
            "step %d/%d  loss %.4f  token accuracy %.3f  %.0f examples/s  left %s",
            step,
            self.config.train.steps,
            figures["loss"],
            figures["token_accuracy"],
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

    def validate(self, step: int, predictor: Predictor, images: LabelledImages) -> None:
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
        self.best, self.since_best = best_so_far(self.folder, upto=step, counted_from=self.counted_from)
        self._check_patience(step)

    def _check_patience(self, step: int) -> None:
        if self.config.train.patience and self.since_best >= self.config.train.patience:
            raise loop.StopTraining(f"validation did not improve for {self.since_best} evaluations: stopping at {step}")


def best_so_far(folder: str, *, upto: float = math.inf, counted_from: int = 0) -> tuple[float, int]:
    """Return the best validation accuracy up to a step, -1 if there was none, and the number of evaluations since.

    As in training, a tie is no improvement; evaluations up to the step `counted_from` are not counted.
    """
    rows = [row for row in files.read_metrics(folder) if row["kind"] == "validation" and row["step"] <= upto]
    best = max((row["sequence_accuracy"] for row in rows), default=-1.0)
    first = next((row["step"] for row in rows if row["sequence_accuracy"] == best), 0)
    return best, sum(row["step"] > max(first, counted_from) for row in rows)
