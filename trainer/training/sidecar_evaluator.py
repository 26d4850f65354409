"""The evaluator: a process that evaluates each checkpoint on the validation images while others train."""

import functools
import logging
import os
import signal
import time

import tensorflow as tf

from trainer.config.schema import Config
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.exit_status import FAILED_STATUS, STOPPED_STATUS
from trainer.training.hooks import best_so_far
from trainer.training.objective import objective_of
from trainer.training.validation import Validation
from trainer.workdir import checkpoint, files

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0


def follow(folder: str, config: Config, images: LabelledImages, *, wait: float) -> int:
    """Evaluate the checkpoints of a work folder, newest first, and keep the best, until training is finished.

    After a restart, it catches up on checkpoints that it missed. The last one is always evaluated. It only reads the
    chief's files; it writes its own metrics file and the folder of the best checkpoint.

    Args:
      wait: seconds without a new checkpoint after which the evaluator fails, so that it never idles forever.
    Returns:
      The exit status.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED_STATUS))
    objective = objective_of(config)
    params = {path: tf.Variable(value, name=path) for path, value in objective.network.params.items()}
    state = {path: tf.Variable(value, name=path) for path, value in objective.network.state.items()}
    weights = {"averages": params} if config.optimizer.ema_decay else {"params": params}
    reading = tf.train.Checkpoint(state=state, **weights)
    predictor = objective.predictor(params, state)
    writer = tf.summary.create_file_writer(f"{folder}/tensorboard/evaluator") if config.tensorboard.scalars else None
    validation = Validation(folder, images, files.EVALUATOR_FILE, writer)
    passed: set[str] = set()
    recent = os.path.join(folder, checkpoint.RECENT)
    since = time.monotonic()
    while True:
        finished = files.finished_step(folder, config)  # read before listing, so that the list has the last checkpoint
        evaluated = {row["step"] for row in files.read_metrics(folder) if row["kind"] == "validation"}
        left = [
            path
            for path in checkpoint.listed(recent)
            if checkpoint.step_of(path) not in evaluated and path not in passed
        ]
        if left:
            since = time.monotonic()
            try:
                reading.read(left[0]).assert_existing_objects_matched().expect_partial()
                best, _ = best_so_far(folder, config.model.measure)
                keep = functools.partial(checkpoint.keep_best, folder, left[0])
                validation.measure(checkpoint.step_of(left[0]), predictor, best, keep)
            except checkpoint.UNREADABLE as error:
                log.warning("%s cannot be read (%s): skipping it", left[0], str(error).splitlines()[0])
                passed.add(left[0])
        elif finished is not None:
            log.info("evaluator: training is finished and its checkpoints are evaluated")
            return 0
        elif time.monotonic() - since > wait:
            log.error("no new checkpoint in %s for %.0f s: check the chief's log", folder, wait)
            return FAILED_STATUS
        else:
            time.sleep(POLL_SECONDS)
