"""The sections on the evaluation of a finder, and of the recogniser that reads the numbers found."""

from collections.abc import Sequence
from typing import Any

from trainer.files import whole_file
from trainer.inference.evaluating import photo_evaluation
from trainer.inference.measuring import notable
from trainer.reporting import cards, groups
from trainer.reporting.cards import Card, Gallery
from trainer.reporting.reading import AGAIN, thumbnails
from trainer.reporting.section import Figure, Section, interval, named_if_damaged, percent
from trainer.workdir import files

SUMMARY_KEYS = ("finding", "reading", "data", "split")
ANSWER_KEYS = ("key", "labels", "right", "numbers")
KINDS = {"by_area": "By area of the number", "by_layout": "By layout", "by_angle": "By angle"}

Row = dict[str, Any]


def sections(workdir: str) -> tuple[list[Figure], list[Section]]:
    """Return the headline figures and the sections, placeholders if the work folder has no evaluation.

    Raises:
      UserError: a file is damaged.
    """
    with named_if_damaged(f"{workdir}/{files.EVALUATION_FILE} or {files.ANSWERS_FILE}", AGAIN):
        summary = whole_file.read_json(f"{workdir}/{files.EVALUATION_FILE}", advice=AGAIN, keys=SUMMARY_KEYS)
        if summary is None:
            return [], [Section("Evaluation", "evaluation.html", {"evaluation": None})]
        rows = whole_file.read_json_lines(f"{workdir}/{files.ANSWERS_FILE}", advice=AGAIN, keys=ANSWER_KEYS) or []
        found = [Section("Evaluation", "evaluation.html", _measured(summary, rows))]
        return headline(summary), [*found, _images(summary, rows)] if rows else found


def headline(summary: Row) -> list[Figure]:
    """Return the figures to show first, with their 95 % intervals where they are proportions of photos."""
    read, found = summary["reading"], summary["finding"]
    figures = [Figure("best number right", percent(read["best_accuracy"]), interval(*read["interval_95"]))]
    figures.append(Figure("numbers found and right, F1", percent(read["text_f1"])))
    figures.append(Figure("numbers found, F1", percent(found["f1"])))
    if read["empty"] and "empty_interval_95" in read:
        between = interval(*read["empty_interval_95"])
        figures.append(Figure("empty photos answered", percent(read["empty_answered"]), between))
    return figures


def _measured(summary: Row, rows: Sequence[Row]) -> Row:
    table = photo_evaluation.table(summary).splitlines()[1:]
    read = summary["reading"]
    return {
        "evaluation": [line.strip().split("  ", 1) for line in table],
        "data": summary["data"],
        "split": summary["split"],
        "step": summary.get("step"),
        **dict.fromkeys(("seen", "thresholds", "charts", "confusions")),  # of recognisers only
        "groupings": [groups.of_summary(t, read[k], "photos", "best_accuracy") for k, t in KINDS.items() if k in read],
        "answers": len(rows),
    }


def _images(summary: Row, rows: Sequence[Row]) -> Section:
    """Return the section with photos: wrong answers first, then the least certain."""

    def confidence(row: Row) -> float:
        return float(row["numbers"][0]["confidence"]) if row["numbers"] else 0.0

    wrong = sorted((row for row in rows if not (row["right"] or _rightly_empty(row))), key=lambda row: -confidence(row))
    least = sorted((row for row in rows if row["numbers"]), key=confidence)
    half = notable.SHOWN // 2  # photos are larger than cut-out numbers
    images = thumbnails(summary, {row["key"] for row in [*wrong[:half], *least[:half]]})

    def made(chosen: Sequence[Row]) -> list[Card]:
        return [cards.of_photo(row, images.get(row["key"], cards.MISSING)) for row in chosen[:half]]

    note = "The best answer is not the largest number, or there is none; the most confident first."
    galleries = [
        Gallery("Worst mistakes", made(wrong), len(wrong), note, large=True),
        Gallery("Most uncertain", made(least), len(least), "Answers, the least confident first.", large=True),
    ]
    values = {"galleries": galleries, "filter": True, "calibrated": True, "workdir_file": files.ANSWERS_FILE}
    return Section("Photos", "galleries.html", values)


def _rightly_empty(row: Row) -> bool:
    return not row["labels"] and not row["numbers"]
