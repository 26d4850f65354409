"""The section on a hyper-parameter search: its ranking."""

import json
from typing import Any

from trainer.files import whole_file
from trainer.reporting import plots
from trainer.reporting.section import Figure, Section, named_if_damaged, percent
from trainer.training import ranking
from trainer.training.speed import clock
from trainer.workdir import files

FILE = "search.json"
AGAIN = "run trainer.search again, which rewrites it"
MOST_LISTED = 200
MOST_CURVES = 6  # the number of colours

Row = dict[str, Any]


def read(workdir: str) -> list[Row] | None:
    """Return the ranking in a folder of `trainer.search`, best first; None if the folder has none.

    Raises:
      UserError: it is damaged.
    """
    path = f"{workdir}/{FILE}"
    content = whole_file.read(path, advice=AGAIN)
    if content is None:
        return None
    with named_if_damaged(path, AGAIN):
        rows = json.loads(content)
        return [{**row, "name": str(row["name"]), "settings": list(row["settings"])} for row in rows]


def section(workdir: str, rows: list[Row]) -> tuple[list[Figure], Section]:
    """Return the headline figures and the section, for the rows that `read` returned.

    Raises:
      UserError: they are damaged.
    """
    with named_if_damaged(f"{workdir}/{FILE}", AGAIN):
        counts = {status: sum(row["status"] == status for row in rows) for status in ("done", "failed", "waiting")}
        measured = [row for row in rows if ranking.score(row) >= 0]
        curves = {row["name"]: files.read_metrics(f"{workdir}/{row['name']}") for row in measured[:MOST_CURVES]}
        chart = plots.validations(curves, "f1" if measured and "f1" in measured[0] else "sequence_accuracy")
        figures = [Figure("runs", f"{counts['done']} of {len(rows)}", f"{counts['failed']} failed")]
        if measured:
            best = measured[0]
            between = best.get("interval_95")
            note = f"{100 * between[0]:.1f} to {100 * between[1]:.1f} %" if between else ""
            figures.append(Figure("best run", percent(ranking.score(best)), note))
        values = {
            "runs": [_shown(row) for row in rows[:MOST_LISTED]],
            "left_out": max(0, len(rows) - MOST_LISTED),
            "counts": counts,
            "charts": [chart] if chart else [],
        }
        return figures, Section("Search", "search.html", values)


def _shown(row: Row) -> Row:
    score = ranking.score(row)
    low, high = row.get("interval_95") or (score, score)
    return {
        "settings": " ".join(map(str, row["settings"])) or "(as the experiment)",
        "status": str(row["status"]),
        "error": str(row.get("error", "")),
        "score": score if score >= 0 else None,
        "low": low,
        "high": high,
        "step": row.get("step", ""),
        "time": clock(row.get("seconds", 0.0)),
    }
