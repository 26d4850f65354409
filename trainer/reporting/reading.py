"""The sections on the evaluation of a recogniser."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from trainer.config.schema import Config
from trainer.files import whole_file
from trainer.inference.evaluating import evaluation
from trainer.inference.measuring import bootstrap, metrics, notable
from trainer.reporting import cards, confusions, groups, plots, report_images
from trainer.reporting.cards import Gallery
from trainer.reporting.section import Figure, Section, interval, located, named_if_damaged, percent
from trainer.workdir import files

AGAIN = "run trainer.evaluate again"
SUMMARY_KEYS = ("examples", "sequence_accuracy", "interval_95", "calibration", "data", "split")
ANSWER_KEYS = ("key", "label", "candidates", "probabilities")

Row = dict[str, Any]


def read(workdir: str) -> tuple[Row | None, list[Row]]:
    """Return the summary of the evaluation in a work folder, None if it has none, and the answers.

    Raises:
      UserError: a file is damaged.
    """
    summary = whole_file.read_json(f"{workdir}/{files.EVALUATION_FILE}", advice=AGAIN, keys=SUMMARY_KEYS)
    if summary is None:
        return None, []
    answers = whole_file.read_json_lines(f"{workdir}/{files.ANSWERS_FILE}", advice=AGAIN, keys=ANSWER_KEYS)
    return summary, answers or []


def sections(workdir: str, config: Config) -> tuple[list[Figure], list[Section]]:
    """Return the headline figures and the sections, placeholders if the work folder has no evaluation.

    Raises:
      UserError: a file is damaged.
    """
    with named_if_damaged(f"{workdir}/{files.EVALUATION_FILE} or {files.ANSWERS_FILE}", AGAIN):
        summary, rows = read(workdir)
        if summary is None:
            return [], [Section("Evaluation", "evaluation.html", {"evaluation": None})]
        found = [Section("Evaluation", "evaluation.html", _measured(summary, rows))]
        if rows:
            found += _images(summary, rows, config)
        return headline(summary, rows), found


def headline(summary: Row, rows: Sequence[Row]) -> list[Figure]:
    """Return the figures to show first, with their 95 % intervals where the answers are known."""
    confidences, right = [notable.confidence(row) for row in rows], [notable.is_right(row) for row in rows]
    pairs = [(row["label"], row["candidates"][0]) for row in rows]
    digits = bootstrap.ratio(
        [sum(x == y for x, y in zip(label, text, strict=False)) for label, text in pairs],
        [max(len(label), len(text)) for label, text in pairs],
    )
    found = [Figure("numbers fully correct", percent(summary["sequence_accuracy"]), interval(*summary["interval_95"]))]
    found.append(Figure("digits correct", percent(summary["digit_accuracy"]), interval(*digits) if digits else ""))
    for accuracy in (0.98, 0.99):
        between = bootstrap.coverage(confidences, right, accuracy)
        name, value = f"coverage at {100 * accuracy:.0f} %", summary[f"coverage_{100 * accuracy:.0f}"]
        found.append(Figure(name, percent(value), interval(*between) if between else ""))
    measured = summary["calibration"]
    before, after = (percent(measured[when]["calibration_error"]) for when in ("before", "after"))
    return [*found, Figure("calibration error", after, f"{before} before calibration")]


def _measured(summary: Row, rows: Sequence[Row]) -> Row:
    confidences, right = [notable.confidence(row) for row in rows], [notable.is_right(row) for row in rows]
    thresholds = summary["calibration"].get("thresholds", [])
    charts = [plots.coverage(confidences, right, thresholds)] if rows else []
    figures = evaluation.overall(summary) if rows else evaluation.figures(summary)
    confused = confusions.by_cost((row["label"], row["candidates"][0]) for row in rows)
    return {
        "evaluation": [("images", f"{summary['examples']:,}"), *figures],
        "seen": summary.get("seen", 0),
        "data": summary["data"],
        "split": summary["split"],
        "step": summary.get("step"),
        "thresholds": thresholds,
        "charts": [*charts, plots.reliability(summary["calibration"])] if summary["examples"] else charts,
        "confusions": confused[: confusions.MOST_LISTED],
        "confusions_left_out": max(0, len(confused) - confusions.MOST_LISTED),
        "grid": confusions.grid(confused) if confused else None,
        "groupings": groups.of_answers(rows) if rows else [],
        "answers": len(rows),
    }


def _images(summary: Row, rows: Sequence[Row], config: Config) -> list[Section]:
    """Return the sections with images: mistakes, and the least certain answers."""
    shown, near = notable.shown(rows), {row["key"] for row in notable.near_misses(rows)}
    read = image_files(summary, {row["key"] for kind in shown.values() for row in kind})
    images = {key: report_images.of_file(file) for key, file in read}
    made = {name: cards.of_answers(kind, images, config.model, near) for name, kind in shown.items()}
    wrong = sum(not notable.is_right(row) for row in rows)
    mistakes = [
        Gallery("Worst mistakes", made["worst"], wrong, "Wrong answers, the most confident first."),
        Gallery("Near misses", made["near"], len(near), "The label is another candidate; the closest first."),
    ]
    uncertain = [Gallery("Most uncertain", made["uncertain"], len(rows), "All answers, the least confident first.")]
    calibrated = all("confidence" in row for row in rows)
    values = {"calibrated": calibrated, "workdir_file": files.ANSWERS_FILE}
    return [
        Section("Incorrect", "galleries.html", {**values, "galleries": mistakes, "filter": True}),
        Section("Uncertain", "galleries.html", {**values, "galleries": uncertain, "filter": False}),
    ]


def image_files(summary: Row, keys: set[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the keys and image files of an evaluation's datasets, those that can still be read."""
    folder = (summary.get("made") or {}).get("folder")
    return report_images.in_datasets(keys, [located(data, folder) for data in summary["data"]], summary["split"])


def paired(first: Sequence[Row], other: Sequence[Row]) -> dict[str, tuple[Row, Row]]:
    """Return the answers of two evaluations for the same images with the same labels, by their keys."""
    by_key = {row["key"]: row for row in first}
    common = ((by_key[row["key"]], row) for row in other if row["key"] in by_key)
    return {row["key"]: (before, row) for before, row in common if before["label"] == row["label"]}


def accuracy(rows: Sequence[Row]) -> tuple[float, tuple[float, float]]:
    """Return the proportion of correct answers and its 95 % interval."""
    right = sum(notable.is_right(row) for row in rows)
    return metrics.share(right, len(rows)), metrics.wilson_interval(right, len(rows))
