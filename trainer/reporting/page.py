"""Write one HTML page about a work folder and predictions, with embedded images."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import jinja2
import tensorflow as tf

from trainer import cli
from trainer.data.output_names import FORMER_PREDICTIONS, PREDICTIONS
from trainer.files import replaceable, whole_file
from trainer.inference import evaluation, photo_evaluation
from trainer.reporting import plots, report_images
from trainer.workdir import files

AGAIN = "run trainer.evaluate again"
SCORE_AGAIN = "run beam_pipelines.score again, with --overwrite"
EVALUATION_KEYS = ("examples", "sequence_accuracy", "interval_95", "calibration", "data", "split")
FINDER_KEYS = ("finding", "reading", "data", "split")
ANSWER_KEYS = ("key", "label", "candidates", "probabilities")
SUMMARY_KEYS = ("shards", "rows", "rejects", "confidence_histogram")
SHOWN = 24  # images in a gallery


def report(workdir: str, predictions: str | None, output: str) -> None:
    """Write the page.

    Raises:
      UserError: the work folder or the predictions are missing or damaged, or the output exists and is not a report.
    """
    _check_output(output)
    config = files.read_config(workdir)
    with _named_if_damaged(f"{workdir}/{files.METRICS_FILE}", "remove it to report without the curves"):
        metrics = files.read_metrics(workdir)
        lines = plots.FINDING if config.model.finds else plots.READING
        curves = plots.curves(metrics, lines) if metrics else None
    with _named_if_damaged(str(predictions), SCORE_AGAIN):
        scored = _predictions(predictions) if predictions else None
    model, optimizer, train = config.model, config.optimizer, config.train
    values: dict[str, Any] = {
        "title": f"{config.experiment}: {workdir}",
        "curves": curves,
        "settings": [
            ("image", f"{model.image_height} x {model.image_width} pixels"),
            ("alphabet, maximum length", f"{model.alphabet}, {model.max_length}"),
            ("steps, batch size", f"{train.steps:,}, {config.data.batch_size}"),
            ("learning rate", f"{optimizer.learning_rate}"),
            ("seed", f"{config.seed}"),
        ],
        "evaluation": None,
        "predictions": scored,
    }
    with _named_if_damaged(f"{workdir}/{files.EVALUATION_FILE} or {files.ANSWERS_FILE}", AGAIN):
        values.update(_found(workdir) if model.finds else _evaluation(workdir, model.alphabet))
    page = jinja2.Environment(loader=jinja2.PackageLoader("trainer.reporting", "."), autoescape=True).get_template(
        "report.html"
    )
    tf.io.gfile.makedirs(output.rpartition("/")[0] or ".")
    whole_file.write(output, page.render(values))


@contextlib.contextmanager
def _named_if_damaged(name: str, advice: str) -> Iterator[None]:
    """Raise UserError for values that cannot be shown: the files hold JSON of which only the keys have been checked."""
    try:
        yield
    except cli.UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise cli.UserError(f"{name} is damaged ({error!r}): {advice}") from error


def _evaluation(workdir: str, alphabet: str) -> dict[str, Any]:
    """Return the sections on the evaluation, none if the work folder has none."""
    summary = whole_file.read_json(f"{workdir}/{files.EVALUATION_FILE}", advice=AGAIN, keys=EVALUATION_KEYS)
    if not summary:
        return {}
    answers = whole_file.read_json_lines(f"{workdir}/{files.ANSWERS_FILE}", advice=AGAIN, keys=ANSWER_KEYS) or []
    return {
        "evaluation": [("images", summary["examples"]), *_lines(evaluation.table(summary))],
        "reliability": plots.reliability(summary["calibration"]),
        "confusion": plots.confusion(answers, alphabet),
        **_galleries(answers, summary),
    }


def _found(workdir: str) -> dict[str, Any]:
    """Return the section on the evaluation of a finder, none if the work folder has none."""
    summary = whole_file.read_json(f"{workdir}/{files.EVALUATION_FILE}", advice=AGAIN, keys=FINDER_KEYS)
    return {"evaluation": _lines(photo_evaluation.table(summary))} if summary else {}


def _lines(table: str) -> list[list[str]]:
    """Return the names and the values of a table without its heading."""
    return [line.strip().split("  ", 1) for line in table.splitlines()[1:]]


def _check_output(output: str) -> None:
    if "://" not in output:
        replaceable.check_replaceable(output, "--output", replaceable.REPORT)
    elif (before := whole_file.read(output, advice="")) is not None:
        replaceable.check_header(before, output, "--output", replaceable.REPORT)


def _galleries(answers: list[dict[str, Any]], summary: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return samples of incorrect answers, most confident first, and of correct ones, least confident first."""
    wrong = [a for a in answers if a["candidates"][0] != a["label"]]
    right = [a for a in answers if a["candidates"][0] == a["label"]]
    wrong.sort(key=lambda a: -a["probabilities"][0])
    right.sort(key=lambda a: a["probabilities"][0])
    shown = {"wrong": wrong[:SHOWN], "right": right[:SHOWN]}
    keys = {a["key"] for chosen in shown.values() for a in chosen}
    images = report_images.of_datasets(keys, summary["data"], summary["split"])
    return {
        kind: [
            {
                "key": a["key"],
                "label": a["label"],
                "candidates": a["candidates"],
                "confidence": a.get("confidence", a["probabilities"][0]),  # version 0.1.0 stored no confidence
                "image": images.get(a["key"], ""),
            }
            for a in chosen
        ]
        for kind, chosen in shown.items()
    }


def _predictions(folder: str) -> dict[str, Any]:
    named = (PREDICTIONS, FORMER_PREDICTIONS)
    names = next((names for names in named if tf.io.gfile.exists(f"{folder}/{names.completed}")), None)
    if names is None:
        raise cli.UserError(f"{folder} has no finished predictions: run beam_pipelines.score")
    summary = whole_file.read_json(f"{folder}/{names.description}", advice=SCORE_AGAIN, keys=SUMMARY_KEYS)
    if summary is None:
        raise cli.UserError(f"{folder} has no {names.description}: {SCORE_AGAIN}")
    if summary["shards"] and not summary["shards"][0]["name"].endswith(".jsonl"):
        raise cli.UserError(f"{folder} is not in JSON Lines: run beam_pipelines.score with --format jsonl")
    chosen = random.Random(0)
    rows = []
    for shard in summary["shards"]:
        path = f"{folder}/{shard['name']}"
        shard_rows = (
            whole_file.read_json_lines(path, advice=SCORE_AGAIN, keys=("key", "candidates", "confidence")) or []
        )
        if len(shard_rows) != shard["rows"]:
            raise cli.UserError(f"{path} holds {len(shard_rows)} rows, expected {shard['rows']}: {SCORE_AGAIN}")
        rows += shard_rows
    images = [
        {
            "key": row["key"],
            "label": None,
            "candidates": [c["text"] for c in row["candidates"]],
            "confidence": float(row["confidence"]),
            "image": report_images.of_row(row),
        }
        for row in chosen.sample(rows, min(SHOWN, len(rows)))
    ]
    return {
        "folder": folder,
        "rows": summary["rows"],
        "rejects": sum(summary["rejects"].values()),
        "histogram": plots.histogram(summary["confidence_histogram"]),
        "images": images,
    }
