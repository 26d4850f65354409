"""The only reader of the environment: what this process is in a cluster, and how TensorFlow is set up."""

import json
import logging
import os
import sys

from trainer.cli import UserError


def configure() -> None:
    """Sets up logging and quiets TensorFlow's C++ messages; call it before TensorFlow is imported.

    Raises:
      UserError: TF_CONFIG asks for a cluster, which this version cannot run.
    """
    quiet_tensorflow()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("absl").setLevel(logging.WARNING)
    refuse_cluster(os.environ.get("TF_CONFIG", ""))


def quiet_tensorflow() -> None:
    """Turns off what TensorFlow's C++ side says below errors; call it before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def refuse_cluster(tf_config: str) -> None:
    """Refuses a TF_CONFIG with more than one task.

    Raises:
      UserError: it has one, or is no JSON.
    """
    try:
        tasks = sum(len(addresses) for addresses in json.loads(tf_config or "{}").get("cluster", {}).values())
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise UserError(f"TF_CONFIG is not valid ({error}): unset it to train on one machine") from error
    if tasks > 1:
        raise UserError(f"TF_CONFIG names {tasks} tasks, and this version trains on one machine: unset TF_CONFIG")
