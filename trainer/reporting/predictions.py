"""The section on a scoring run: how confident it was, what was accepted, what is for review, and what was rejected."""

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer.cli import UserError
from trainer.data.formats import prediction_rows
from trainer.data.formats.output_names import FORMER_PREDICTIONS, PREDICTIONS, OutputNames
from trainer.data.formats.prediction_rows import DamagedRows
from trainer.files import whole_file
from trainer.reporting import cards, plots, report_images
from trainer.reporting.cards import Gallery
from trainer.reporting.section import Figure, Section, named_if_damaged, percent

AGAIN = "run beam_pipelines.score again, with --overwrite"
SUMMARY_KEYS = ("shards", "rows", "rejects", "confidence_histogram")
ROW_KEYS = ("key", "candidates", "confidence")
SHOWN = 24  # images of each gallery
REJECTS_NAMED = 20
SAMPLE = "A random sample."
NO_ATTENTION = (
    "Where the model looked is not stored for this many images: a report on an evaluation shows it, as does "
    "trainer.predict --draw for a few images."
)

Row = dict[str, Any]


def read(folder: str) -> tuple[Row, OutputNames]:
    """Return the summary of a scoring run, and the names of its files.

    Raises:
      UserError: the folder has no finished predictions, or the summary is damaged.
    """
    named = (PREDICTIONS, FORMER_PREDICTIONS)
    names = next((names for names in named if tf.io.gfile.exists(f"{folder}/{names.completed}")), None)
    if names is None:
        raise UserError(f"{folder} has no finished predictions: run beam_pipelines.score")
    summary = whole_file.read_json(f"{folder}/{names.description}", advice=AGAIN, keys=SUMMARY_KEYS)
    if summary is None:
        raise UserError(f"{folder} has no {names.description}: {AGAIN}")
    return summary, names


def section(folder: str, summary: Row, names: OutputNames) -> tuple[list[Figure], Section]:
    """Return the headline figures and the section, for what `read` returned.

    Raises:
      UserError: a file is damaged.
    """
    with named_if_damaged(folder, AGAIN):
        return _headline(summary), Section("Predictions", "predictions.html", _values(folder, summary, names))


def _headline(summary: Row) -> list[Figure]:
    rejected = sum(summary["rejects"].values())
    found = [Figure("images scored", f"{summary['rows']:,}", f"{rejected:,} rejected")]
    if summary["rows"] and "accepted" in summary:
        share = percent(summary["accepted"] / summary["rows"])
        found.append(Figure("accepted", share, f"{summary['accepted']:,}, and {summary['for_review']:,} for review"))
    if accuracy := summary.get("accuracy"):
        value, count = accuracy["sequence_accuracy"], accuracy["examples"]
        found.append(Figure("right among labelled", "none" if value is None else percent(value), f"of {count:,}"))
    return found


def _values(folder: str, summary: Row, names: OutputNames) -> Row:
    threshold = (summary.get("request") or {}).get("min_confidence") or None  # 0 accepts all
    return {
        "folder": folder,
        "rows": summary["rows"],
        "rejects": sum(summary["rejects"].values()),
        "reasons": sorted(summary["rejects"].items()),
        "named_rejects": _named_rejects(f"{folder}/{names.rejects}"),
        "chart": plots.histogram(summary["confidence_histogram"], threshold),
        "table": _table(summary, threshold),
        "lengths": [(length, int(count)) for length, count in (summary.get("lengths") or {}).items()],
        "galleries": _galleries(folder, summary),
        "calibrated": bool((summary.get("model") or {}).get("calibration", True)),
        "workdir_file": "predictions-*",
        "filter": True,
    }


def _table(summary: Row, threshold: float | None) -> list[tuple[str, str]]:
    rows = [("rows", f"{summary['rows']:,}"), ("rejects", f"{sum(summary['rejects'].values()):,}")]
    for key, name in (("accepted", "accepted"), ("for_review", "for review"), ("other_files", "other files (skipped)")):
        if key in summary:
            rows.append((name, f"{summary[key]:,}"))
    if threshold is not None:
        rows.append(("accepted from confidence", percent(threshold)))
    if accuracy := summary.get("accuracy"):
        for name, group in (("whole numbers right", accuracy), ("right among accepted", accuracy["of_accepted"])):
            if group["examples"]:
                rows.append((name, f"{percent(group['sequence_accuracy'])} of {group['examples']:,}"))
    if "seconds" in summary:
        rows.append(("seconds, with startup", f"{summary['seconds']:,.1f}"))
        rows.append(("images/s, with startup", f"{summary['images_per_second']:,.1f}"))
    return rows


def _named_rejects(path: str) -> list[tuple[str, str]]:
    """Return the keys and the reasons of the first rejects."""
    content = whole_file.read(path, advice=AGAIN) or b""
    lines = content.decode(errors="replace").splitlines()[:REJECTS_NAMED]
    rows = [json.loads(line) for line in lines]
    return [
        (str(row["key"]), " ".join(str(row[name]) for name in ("reason", "detail") if row.get(name))) for row in rows
    ]


def _galleries(folder: str, summary: Row) -> list[Gallery]:
    """Return random samples of the accepted rows and of those for review."""
    chosen, counts = random.Random(0), {True: 0, False: 0}
    samples: dict[bool, list[Row]] = {True: [], False: []}
    for row in _rows(folder, summary):
        accepted = bool(row.get("accepted", True))
        counts[accepted] += 1
        sample = samples[accepted]
        if len(sample) < SHOWN:
            sample.append(row)
        elif (place := chosen.randrange(counts[accepted])) < SHOWN:  # reservoir sampling (Vitter 1985)
            sample[place] = row
    made_in = (summary.get("made") or {}).get("folder")
    titles = {True: "Accepted", False: "For review"}
    return [
        Gallery(
            titles[accepted],
            [cards.of_prediction(row, report_images.of_row(row, made_in)) for row in samples[accepted]],
            counts[accepted],
            SAMPLE if any(row.get("numbers") is not None for row in samples[accepted]) else f"{SAMPLE} {NO_ATTENTION}",
            large=any(row.get("numbers") is not None for row in samples[accepted]),
        )
        for accepted in (False, True)
        if counts[accepted]
    ]


def _rows(folder: str, summary: Row) -> Iterator[Row]:
    """Yield all rows, with one shard in memory at a time.

    Raises:
      UserError: a shard is damaged, or does not have as many rows as the summary says.
    """
    for shard in summary["shards"]:
        path = f"{folder}/{shard['name']}"
        rows = _shard(path)
        if len(rows) != shard["rows"]:
            raise UserError(f"{path} holds {len(rows)} rows, expected {shard['rows']}: {AGAIN}")
        yield from rows


def _shard(path: str) -> list[Row]:
    """Return the rows of a shard in any of the formats that `score` writes; none if it does not exist.

    Raises:
      UserError: it is damaged.
    """
    if path.endswith(".jsonl"):
        return whole_file.read_json_lines(path, advice=AGAIN, keys=ROW_KEYS) or []
    try:
        return list(prediction_rows.read(io.BytesIO(whole_file.read(path, advice=AGAIN) or b""), path))
    except DamagedRows as error:
        raise UserError(f"{path} is damaged ({error}): {AGAIN}") from error
