"""The work folder: alone enough to resume, evaluate, export and report."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer import checkpoint, config
from trainer.cli import UserError
from trainer.config import Config, Decode
from trainer.model import PureRecogniser

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
EVALUATOR_FILE = "metrics-evaluator.jsonl"  # its own, since a file in a bucket has one writer
FINISHED_FILE = "FINISHED"
ANSWERS_FILE = "answers.jsonl"
EVALUATION_FILE = "evaluation.json"
CALIBRATION_FILE = "calibration.json"
POLL_SECONDS = 0.5


def read_config(workdir: str) -> Config:
    """The configuration of a work folder.

    Raises:
      UserError: the folder is none.
    """
    path = f"{workdir}/{CONFIG_FILE}"
    if not tf.io.gfile.exists(path):
        raise UserError(f"{workdir} has no {CONFIG_FILE}: it is no work folder; train one with trainer.train first")
    with tf.io.gfile.GFile(path, "r") as file:
        return config.from_json(file.read())


def start(workdir: str, wanted: Config) -> None:
    """Makes the work folder, or checks that what is in it can go on under the wanted configuration.

    Raises:
      UserError: it holds another model.
    """
    if tf.io.gfile.exists(f"{workdir}/{CONFIG_FILE}"):
        found = read_config(workdir)
        if _checkpoint_kind(found) != _checkpoint_kind(wanted):
            raise UserError(
                f"{workdir} holds another model or optimizer (experiment {found.experiment}), whose checkpoints do not "
                "fit: choose another --workdir, or the configuration in its config.json"
            )
    tf.io.gfile.makedirs(workdir)
    with tf.io.gfile.GFile(f"{workdir}/{CONFIG_FILE}", "w") as file:
        file.write(wanted.to_json())


def _checkpoint_kind(config: Config) -> tuple[Any, ...]:
    """What decides which variables a checkpoint has."""
    return config.model, config.optimizer.name, bool(config.optimizer.ema_decay)


def finish(workdir: str, wanted: Config, step: int) -> None:
    """Tells all other tasks that training is done."""
    temporary = f"{workdir}/{FINISHED_FILE}.tmp"
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(json.dumps({"step": step, "config": json.loads(wanted.to_json())}) + "\n")
    tf.io.gfile.rename(temporary, f"{workdir}/{FINISHED_FILE}", overwrite=True)


def finished_step(workdir: str, wanted: Config) -> int | None:
    """The step at which training with exactly this configuration was done, None where it was not."""
    try:
        with tf.io.gfile.GFile(f"{workdir}/{FINISHED_FILE}", "r") as file:
            found = json.loads(file.read())
    except (tf.errors.NotFoundError, json.JSONDecodeError):
        return None
    return found["step"] if found["config"] == json.loads(wanted.to_json()) else None


def wait_for_finish(workdir: str, wanted: Config, seconds: float) -> bool:
    """Whether `finish` was told within so many seconds."""
    until = time.monotonic() + seconds
    while finished_step(workdir, wanted) is None:
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def append_metrics(workdir: str, row: dict[str, Any], *, file_name: str = METRICS_FILE) -> None:
    with tf.io.gfile.GFile(f"{workdir}/{file_name}", "a") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(workdir: str) -> list[dict[str, Any]]:
    """All rows in the order of their steps; where a restart repeated a step, the later row.

    A line that is not whole, as a killed process leaves it, is passed over.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for path in (f"{workdir}/{METRICS_FILE}", f"{workdir}/{EVALUATOR_FILE}"):
        if not tf.io.gfile.exists(path):
            continue
        with tf.io.gfile.GFile(path, "r") as file:
            for line in file:
                with contextlib.suppress(json.JSONDecodeError):
                    row = json.loads(line)
                    rows[row["kind"], row["step"]] = row
    return sorted(rows.values(), key=lambda row: row["step"])


def read_calibration(workdir: str, step: int, reading: Decode) -> dict[str, Any] | None:
    """What `trainer.evaluate --calibrate` stored of the checkpoint of that step, read so; None where it never ran.

    Raises:
      UserError: it is of another step, or of another way to read.
    """
    path = f"{workdir}/{CALIBRATION_FILE}"
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "r") as file:
        stored = json.load(file)
    if stored["step"] != step:
        raise UserError(
            f"{path} is of step {stored['step']}, and the best checkpoint of step {step}: "
            "run trainer.evaluate --calibrate again, or delete it"
        )
    if stored.get("decode") != json.loads(json.dumps(dataclasses.asdict(reading))):
        raise UserError(
            f"{path} is of another way to read, {stored.get('decode')}: run trainer.evaluate --calibrate again "
            "with the same --set, or delete it"
        )
    return stored


Loaded = tuple[Config, PureRecogniser, dict[str, tf.Variable], dict[str, tf.Variable], int]


def load_model(workdir: str, settings: Sequence[str] = ()) -> Loaded:
    """The model of a work folder as numbers are read with it: the best checkpoint, else the newest.

    Args:
      workdir: what trainer.train made.
      settings: `--set` values of `decode`, to read otherwise than configured.
    Returns:
      The configuration; the recogniser; its parameters and its state, by path; the step they are of.
    Raises:
      UserError: there is no work folder, no checkpoint in it, or a setting is not of `decode`.
    """
    if trained := [setting for setting in settings if not setting.startswith("decode.")]:
        raise UserError(f"--set {trained[0]}: a trained model can only be told how to read, e.g. decode.beam_width=5")
    wanted = config.override(read_config(workdir), list(settings))
    path = checkpoint.to_read(workdir)
    if path is None:
        raise UserError(f"{workdir} has no checkpoint yet: train it with trainer.train first")
    recogniser = PureRecogniser(wanted.model, seed=wanted.seed, precision=wanted.precision)
    params = {name: tf.Variable(value, name=name) for name, value in recogniser.params.items()}
    state = {name: tf.Variable(value, name=name) for name, value in recogniser.state.items()}
    step = tf.Variable(0, dtype=tf.int64)
    weights = {"averages": params} if wanted.optimizer.ema_decay else {"params": params}
    reading = tf.train.Checkpoint(state=state, step=step, **weights)
    reading.read(path).assert_existing_objects_matched().expect_partial()
    return wanted, recogniser, params, state, int(step.numpy())
