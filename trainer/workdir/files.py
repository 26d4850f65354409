"""The work folder: it holds everything needed to resume, evaluate, export and report."""

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.cli import UserError
from trainer.config import schema, typed
from trainer.config.schema import CONFIG_FILE, Config
from trainer.files import whole_file
from trainer.files.lock import Lock

log = logging.getLogger(__name__)

LOCK_FILE = "chief.json"
INPUTS_FILE = "inputs.json"  # the datasets and initial weights
STARTS_FILE = "starts.jsonl"  # how each start of the training was made: see `record_start`
METRICS_FILE = "metrics.jsonl"
EVALUATOR_FILE = "metrics-evaluator.jsonl"  # a separate file, since a file in a bucket can have only one writer
FINISHED_FILE = "FINISHED"
ANSWERS_FILE = "answers.jsonl"
EVALUATION_FILE = "evaluation.json"
CALIBRATION_FILE = "calibration.json"
POLL_SECONDS = 0.5


@contextlib.contextmanager
def locked(workdir: str) -> Iterator[Lock]:
    """Create a work folder and hold its lock; if it is new and nothing was written, remove it at the end.

    Raises:
      Locked: another process trains there.
    """
    is_new = not tf.io.gfile.exists(workdir)
    tf.io.gfile.makedirs(workdir)
    try:
        with Lock(f"{workdir}/{LOCK_FILE}", _Store()) as lock:
            yield lock
    finally:
        if is_new:
            _remove_empty(workdir)


def _remove_empty(workdir: str) -> None:
    if "://" not in workdir:
        with contextlib.suppress(OSError):  # something was written
            os.rmdir(workdir)
        return
    with contextlib.suppress(tf.errors.NotFoundError):  # in an object store it disappears with its last file
        if not tf.io.gfile.listdir(workdir):
            tf.io.gfile.rmtree(workdir)


class _Store:
    """The files of an object store, through TensorFlow."""

    def read(self, path: str) -> str | None:
        try:
            with tf.io.gfile.GFile(path, "r") as file:
                return file.read()
        except tf.errors.NotFoundError:
            return None

    def write(self, path: str, text: str) -> None:
        whole_file.write(path, text)

    def remove(self, path: str) -> None:
        tf.io.gfile.remove(path)


def read_config(workdir: str) -> Config:
    """Return the config of a work folder.

    Raises:
      UserError: it is not a work folder, or its config is damaged.
    """
    path = f"{workdir}/{CONFIG_FILE}"
    raw = whole_file.read_json(path, advice="run the trainer.train command of this run again, which rewrites it")
    if raw is None:
        raise UserError(f"{workdir} is not a work folder: {CONFIG_FILE} is missing; train one with trainer.train first")
    return _config_of(path, raw)


def _config_of(path: str, raw: dict[str, Any]) -> Config:
    try:
        return typed.build(Config, raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check(workdir: str, config: Config, inputs: dict[str, Any] | None = None) -> None:
    """Check that a run can resume in a work folder with the given config; log what has changed.

    Damaged files are skipped, since `start` rewrites them; in that case, checkpoints that do not fit are detected when
    they are restored.

    Args:
      workdir: the folder, which need not exist.
      config: the config.
      inputs: the datasets and initial weights, by what they are for.
    Raises:
      UserError: the folder holds another model or optimizer.
    """
    if tf.io.gfile.isdir(f"{workdir}/{CONFIG_FILE}"):
        raise UserError(f"{workdir}/{CONFIG_FILE} is a folder, not a file: choose another --workdir")
    changes: list[str] = []
    if raw := _unless_damaged(f"{workdir}/{CONFIG_FILE}"):
        stored = _config_of(f"{workdir}/{CONFIG_FILE}", raw)
        if _checkpoint_kind(stored) != _checkpoint_kind(config):
            raise UserError(
                f"{workdir} holds another model or optimizer (experiment {stored.experiment}), whose checkpoints do "
                "not fit: choose another --workdir, or use the settings in its config.json"
            )
        changes += schema.changes(stored, config)
    if inputs and (before := _unless_damaged(f"{workdir}/{INPUTS_FILE}")):
        changes += [f"{name}: {before.get(name)} -> {new}" for name, new in inputs.items() if before.get(name) != new]
    for change in changes:
        log.info("changed since this run was last started: %s", change)


def start(workdir: str, config: Config, inputs: dict[str, Any] | None = None) -> None:
    """Create the work folder if needed; write the config and the inputs with which training starts or resumes."""
    tf.io.gfile.makedirs(workdir)
    whole_file.write(f"{workdir}/{CONFIG_FILE}", config.to_json())
    if inputs:
        whole_file.write_json(f"{workdir}/{INPUTS_FILE}", inputs)


def record_start(workdir: str, made: dict[str, Any]) -> None:
    """Append to a work folder how a start of its training was made, from `provenance.gather`."""
    whole_file.append_line(f"{workdir}/{STARTS_FILE}", json.dumps(made))


def read_starts(workdir: str) -> list[dict[str, Any]]:
    """Return what `record_start` appended, in order; an incomplete line, e.g. from a killed process, is skipped."""
    return [row for row in _read_lines(f"{workdir}/{STARTS_FILE}") if isinstance(row, dict)]


def _unless_damaged(path: str) -> dict[str, Any] | None:
    try:
        return whole_file.read_json(path, advice="it is rewritten from the command line")
    except UserError as error:
        log.warning("%s", error)
        return None


def _checkpoint_kind(config: Config) -> tuple[Any, ...]:
    """Return the settings that determine which variables a checkpoint has."""
    return config.model, config.optimizer.name, bool(config.optimizer.ema_decay)


def finish(workdir: str, config: Config, step: int) -> None:
    """Record for all other tasks, and for later starts, that training is done, and whether it stopped early."""
    early = step < config.train.steps
    done = {"step": step, "stopped_early": early, "config": json.loads(config.to_json())}
    whole_file.write_json(f"{workdir}/{FINISHED_FILE}", done)


def finished_step(workdir: str, config: Config) -> int | None:
    """Return the step at which training with exactly this config finished, None if it did not."""
    record = last_finish(workdir)
    return record["step"] if record and record["config"] == json.loads(config.to_json()) else None


def last_finish(workdir: str) -> dict[str, Any] | None:
    """Return what `finish` wrote last, for any config; None if the file is missing or damaged."""
    try:
        record = whole_file.read_json(f"{workdir}/{FINISHED_FILE}", advice="it counts as missing")
    except UserError:
        return None
    return record if record and isinstance(record.get("step"), int) and "config" in record else None


def wait_for_finish(workdir: str, config: Config, seconds: float) -> bool:
    """Wait for `finish`; return whether it was recorded within that many seconds."""
    until = time.monotonic() + seconds
    while finished_step(workdir, config) is None:
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


def append_metrics(workdir: str, row: dict[str, Any], *, file_name: str = METRICS_FILE) -> None:
    """Append a row to a metrics file."""
    whole_file.append_line(f"{workdir}/{file_name}", json.dumps(row))


def read_metrics(workdir: str) -> list[dict[str, Any]]:
    """Return all rows in the order of their steps; if a restart repeated a step, only the later row.

    An incomplete line, e.g. from a killed process, is skipped.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for path in (f"{workdir}/{METRICS_FILE}", f"{workdir}/{EVALUATOR_FILE}"):
        for row in _read_lines(path):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                rows[row["kind"], int(row["step"])] = row
    return sorted(rows.values(), key=lambda row: row["step"])


def _read_lines(path: str) -> Iterator[Any]:
    """Yield the JSON values of the lines of a file that can be parsed; nothing if it does not exist."""
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path, "rb") as file:
        lines = file.read().decode(errors="replace").split("\n")
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)
