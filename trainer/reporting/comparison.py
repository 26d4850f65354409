"""The section that compares runs: their figures, their settings, and their answers for the same images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from trainer.cli import UserError
from trainer.config import schema
from trainer.config.schema import Config
from trainer.files import whole_file
from trainer.inference.measuring import notable
from trainer.reporting import finding, plots, reading
from trainer.reporting.section import Figure, Section, named_if_damaged
from trainer.training import ranking
from trainer.training.speed import clock
from trainer.workdir import files

MOST_IMAGES = 50  # listed for each pair of runs

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A work folder: its name on the page, and its content; without an evaluation, `summary` is None."""

    name: str
    config: Config
    metrics: list[Row]
    summary: Row | None
    rows: list[Row]


@dataclass(frozen=True)
class Pair:
    """The answers of two runs for the same images.

    Attributes:
      first, other: the names of the runs.
      images: how many images both answered.
      only_first, only_other: for how many of them only that run is correct.
      chance: the probability of a difference at least as large if both are equally good (exact McNemar test).
      differing: the images for which only one is correct: key, label, both answers, and which one is correct.
    """

    first: str
    other: str
    images: int
    only_first: int
    only_other: int
    chance: float
    differing: list[tuple[str, str, str, str, str]]


def section(workdirs: Sequence[str]) -> Section:
    """Return the section.

    Raises:
      UserError: there are fewer than two, some are of recognisers and some of finders, or one is damaged.
    """
    if len(set(workdirs)) < 2:
        raise UserError("--compare needs two or more different work folders, --workdir included: give another one")
    runs = [_run(workdir, name) for workdir, name in zip(workdirs, names(workdirs), strict=True)]
    if len({run.config.model.finds for run in runs}) > 1:
        raise UserError("--compare: some of these are recognisers and some finders; compare runs of one kind")
    with named_if_damaged(f"a file of {', '.join(workdirs)}", "run trainer.evaluate again on each of them"):
        chart = plots.validations({run.name: run.metrics for run in runs}, runs[0].config.model.measure)
        values = {
            "runs": [run.name for run in runs],
            "figures": _figures(runs),
            "settings": _settings(runs),
            "pairs": [] if runs[0].config.model.finds else [_pair(runs[0], run) for run in runs[1:]],
            "charts": [chart] if chart else [],
            "most": MOST_IMAGES,
            "same_data": _on_same_data(runs),
        }
    return Section("Comparison", "comparison.html", values)


def names(workdirs: Sequence[str]) -> list[str]:
    """Return short names of work folders: their last parts, or the whole paths if those are the same."""
    short = [os.path.basename(workdir.rstrip("/")) for workdir in workdirs]
    return short if len(set(short)) == len(short) else list(workdirs)


def _run(workdir: str, name: str) -> Run:
    config = files.read_config(workdir)
    if config.model.finds:
        path, keys = f"{workdir}/{files.EVALUATION_FILE}", finding.SUMMARY_KEYS
        summary, rows = whole_file.read_json(path, advice=reading.AGAIN, keys=keys), list[Row]()
    else:
        summary, rows = reading.read(workdir)
    return Run(name, config, files.read_metrics(workdir), summary, rows)


def _headline(run: Run) -> list[Figure]:
    if run.summary is None:
        return []
    return finding.headline(run.summary) if run.config.model.finds else reading.headline(run.summary, run.rows)


def _figures(runs: Sequence[Run]) -> list[tuple[str, list[Figure]]]:
    """Return the rows of the table: a name, and the figure of each run."""
    by_run = [{figure.name: figure for figure in [*_counts(run), *_headline(run)]} for run in runs]
    listed = list(dict.fromkeys(name for figures in by_run for name in figures))
    return [(name, [figures.get(name, Figure(name, "-")) for figures in by_run]) for name in listed]


def _counts(run: Run) -> list[Figure]:
    found = [Figure("experiment", run.config.experiment)]
    if run.summary:
        data = ", ".join(map(str, run.summary["data"]))
        images = run.summary.get("examples", run.summary.get("reading", {}).get("photos", 0))
        found += [Figure("images", f"{images:,}", f"{run.summary['split']} of {data}")]
        found += [Figure("checkpoint of step", f"{run.summary.get('step', '-')}")]
    else:
        found.append(Figure("images", "-", "not evaluated yet"))
    if run.metrics:
        found.append(Figure("training time", clock(ranking.measured(run.metrics, run.config)["seconds"])))
    return found


def _settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return the settings that are not the same in all runs, and their value in each."""
    differing = [schema.differences(runs[0].config, run.config) for run in runs[1:]]
    first = {key: old for found in differing for key, old, _ in found}
    changed = [{key: new for key, _, new in found} for found in differing]
    return [(key, [old, *(new.get(key, old) for new in changed)]) for key, old in first.items()]


def _on_same_data(runs: Sequence[Run]) -> bool:
    """Return whether all evaluations are of the same images, as far as their records tell."""
    evaluated = [run.summary for run in runs if run.summary]
    identities = {
        (one["split"], *sorted(str(data["fingerprint"]) for data in one.get("datasets", []))) for one in evaluated
    }
    return len(identities) < 2


def _pair(first: Run, other: Run) -> Pair:
    both = reading.paired(first.rows, other.rows)
    differing = [
        (key, row["label"], row["candidates"][0], after["candidates"][0], notable.is_right(row))
        for key, (row, after) in both.items()
        if notable.is_right(row) != notable.is_right(after)
    ]
    only_first, count = sum(right for *_, right in differing), len(differing)
    chance = float(stats.binomtest(only_first, count).pvalue) if count else 1.0
    listed = [
        (key, label, before, after, first.name if right else other.name)
        for key, label, before, after, right in differing[:MOST_IMAGES]
    ]
    return Pair(first.name, other.name, len(both), only_first, count - only_first, chance, listed)
