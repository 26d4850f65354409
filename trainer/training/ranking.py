"""Rank the runs of a search by their best validations."""

from collections.abc import Iterator
from typing import Any

from trainer.config.schema import Config
from trainer.inference.measuring import metrics
from trainer.training import speed

RUN_FILE = "run.json"  # in the work folder of each run that a search started


def shown(config: Config) -> dict[str, str]:
    """Return the validation figures that TensorBoard shows for each run, with their names for display."""
    if config.model.finds:
        return {"f1": "F1 of boxes", "recall": "recall"}
    return {"sequence_accuracy": "whole numbers correct", "digit_accuracy": "digits correct"}


def score(row: dict[str, Any]) -> float:
    """Return the figure that a row is ranked by, -1 if it has none: a recogniser's accuracy, or a finder's F1."""
    return float(row.get("sequence_accuracy", row.get("f1", -1.0)))


def measured(logged: list[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Return the best validation and the training time, in seconds without pauses, from rows of `read_metrics`."""
    training = [row for row in logged if row["kind"] == "training"]
    starts = [0, *(row["step"] for row in training)]
    seconds = sum(
        (row["step"] - start) * config.data.batch_size / row["examples_per_second"]
        for start, row in zip(starts, training, strict=False)
        if row["examples_per_second"] > 0 and row["step"] > start
    )
    figures: dict[str, Any] = {"seconds": seconds}
    validation = [row for row in logged if row["kind"] == "validation"]
    if validation:
        best = max(validation, key=lambda row: row[config.model.measure])
        figures |= {name: best[name] for name in (config.model.measure, "step")}
        if not config.model.finds:
            right = round(best["sequence_accuracy"] * best["examples"])
            figures["interval_95"] = metrics.wilson_interval(right, best["examples"])
    return figures


def table(rows: list[dict[str, Any]]) -> str:
    """Return the ranking as a text table."""

    def lines() -> Iterator[str]:
        yield f"{'No.':>4}  {'whole numbers':>13}  {'95 % interval':<16}  {'step':>7}  {'training':>8}  settings"
        for i, row in enumerate(rows, start=1):
            accuracy, between, step = "-", "", ""
            if score(row) >= 0:
                accuracy, step = f"{score(row):.2%}", str(row["step"])
            if "interval_95" in row:
                low, high = row["interval_95"]
                between = f"{low:.2%} to {high:.2%}"
            told = "" if row["status"] == "done" else f"  {row['status']}: {row.get('error', '')}".rstrip(": ")
            seconds = speed.clock(row.get("seconds", 0.0))
            yield f"{i:>4}  {accuracy:>13}  {between:<16}  {step:>7}  {seconds:>8}  {' '.join(row['settings'])}{told}"

    return "\n".join(lines())
