"""Write the settings of a run for TensorBoard: as text, and for its HParams view, which shows them with the metrics."""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_plugin

from trainer.config import experiments, schema
from trainer.training import ranking

# Tuned most often; further columns are all settings that differ from the experiment's, except those of SILENT.
TUNED = ("data.batch_size", "optimizer.learning_rate", "train.steps")
SILENT = ("tensorboard.", "train.")  # most only determine when something is logged or saved


def write(config: schema.Config, folder: str) -> None:
    """Write the settings of the run in a work folder, with the default summary writer.

    The HParams view shows the name of the work folder, the settings in `TUNED` and those that differ from the
    experiment's, then the metrics, the most important first. Without this description it would show five arbitrary
    settings, and the metrics sorted by name. The runs of a search are not described here: a search writes one
    description for all of them, and TensorBoard uses only one of those that it finds.
    """
    values = hyper_parameters(config)
    usual = hyper_parameters(experiments.find(config.experiment))
    changed = [key for key, value in values.items() if value != usual[key]]
    columns = dict.fromkeys([*TUNED, *(key for key in changed if not key.startswith(SILENT))])
    shown = {f"validation/{name}": text for name, text in ranking.shown(config).items()}
    shown["training/loss"] = "training loss"
    hparams_plugin.hparams(values, trial_id=os.path.basename(os.path.abspath(folder)))
    if not tf.io.gfile.exists(f"{folder}/{ranking.RUN_FILE}"):
        hparams_plugin.hparams_config(
            hparams=[hparams_plugin.HParam(key) for key in columns],
            metrics=[hparams_plugin.Metric(tag, display_name=text) for tag, text in shown.items()],
        )
    tf.summary.text("settings", table(values, changed))


def table(values: dict[str, Any], changed: list[str]) -> str:
    """Return the settings as a Markdown table; those that differ from the experiment's come first, in bold."""
    first = [f"| **{key}** | `{values[key]}` |" for key in changed]
    rest = [f"| {key} | `{value}` |" for key, value in values.items() if key not in changed]
    return "\n".join(["| setting | value |", "|---|---|", *first, *rest])


def hyper_parameters(config: schema.Config) -> dict[str, Any]:
    """Return all settings by their `--set` names; lists as JSON, since TensorBoard does not support lists."""
    raw = dataclasses.asdict(config)
    values: dict[str, Any] = {}
    for key in schema.keys(config):
        value: Any = raw
        for name in key.split("."):
            value = value[name]
        values[key] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    return values
