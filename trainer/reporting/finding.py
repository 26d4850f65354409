"""The sections on the evaluation of a finder, and of the recogniser that reads the numbers found."""

from collections.abc import Sequence
from typing import Any

from trainer.files import whole_file
from trainer.inference.evaluating import notable_photos, photo_evaluation
from trainer.reporting import cards, groups, report_images
from trainer.reporting.cards import Gallery
from trainer.reporting.reading import AGAIN, image_files
from trainer.reporting.report_images import MISSING, Thumbnail
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
    shown = notable_photos.shown(rows)
    cuts = {row["key"]: number["cut"] for kind in shown.values() for row in kind
            for number in notable_photos.answers(row)[:1] if "cut" in number}  # fmt: skip
    images: dict[str, tuple[Thumbnail, Thumbnail]] = {}
    for key, file in image_files(summary, {row["key"] for kind in shown.values() for row in kind}):
        images[key] = (
            report_images.of_file(file),
            report_images.of_cut(file, cuts[key]) if key in cuts else MISSING,
        )
    made = {
        name: [cards.of_photo(row, *images.get(row["key"], (MISSING, MISSING))) for row in kind]
        for name, kind in shown.items()
    }
    note = "The best answer is not the largest number, or there is none; the most confident first."
    counts = len(notable_photos.worst(rows)), len(notable_photos.most_uncertain(rows))
    galleries = [
        Gallery("Worst mistakes", made["worst"], counts[0], note, large=True),
        Gallery("Most uncertain", made["uncertain"], counts[1], "Answers, the least confident first.", large=True),
    ]
    values = {"galleries": galleries, "filter": True, "calibrated": True, "workdir_file": files.ANSWERS_FILE}
    return Section("Photos", "galleries.html", values)
