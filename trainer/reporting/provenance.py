"""The section on how everything in the report was produced."""

from dataclasses import dataclass
from typing import Any

from trainer import provenance
from trainer.config import experiments
from trainer.config.schema import Config, differences
from trainer.reporting.section import Section, named_if_damaged

Row = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """How one result was produced: its name, and the names and values of what is known about it."""

    name: str
    rows: list[tuple[str, str]]


def section(
    config: Config | None, trained: list[Row], evaluation: Row | None, scoring: Row | None, report_of: str
) -> Section:
    """Return the section.

    Args:
      config: of the work folder, if the report has one.
      trained: from `files.read_starts`.
      evaluation: the summary of the evaluation, if there is one.
      scoring: the summary of the predictions, if there are some.
      report_of: what the report is about, for errors.
    Raises:
      UserError: one of them is damaged.
    """
    with named_if_damaged(report_of, "make it again"):
        found = [_made("This report", provenance.gather())]
        found += [_made(_name_of_start(i, len(trained)), start) for i, start in enumerate(trained)]
        for name, summary in (("Evaluation", evaluation), ("Predictions", scoring)):
            if summary and summary.get("made"):
                found.append(_made(name, summary["made"], _seconds(summary)))
        datasets = _datasets(evaluation) if evaluation else []
    values = {"made": found, "datasets": datasets, "config": _differing(config) if config else None}
    return Section("Provenance", "provenance.html", values)


def _name_of_start(index: int, count: int) -> str:
    return "Training" if count == 1 else f"Training, start {index + 1} of {count}"


def _made(name: str, made: Row, seconds: float | None = None) -> Made:
    hardware, versions = made.get("hardware") or {}, made.get("versions") or {}
    machine = [str(hardware[key]) for key in ("processor",) if hardware.get(key)]
    machine += [f"{hardware['cores']} cores"] if hardware.get("cores") else []
    machine += [f"{hardware['memory_gb']} GB"] if hardware.get("memory_gb") else []
    rows = [
        ("date", str(made.get("date", ""))),
        ("command", str(made.get("command", ""))),
        ("folder", str(made.get("folder") or "")),
        ("commit", str(made.get("commit") or "none: an installed package")),
        ("hardware", ", ".join(machine + [str(gpu) for gpu in hardware.get("gpus", [])])),
        ("versions", ", ".join(f"{package} {version}" for package, version in versions.items())),
        ("strategy", str(made.get("strategy", ""))),
        ("from step", str(made.get("step", ""))),
        ("seconds", f"{seconds:,.1f}" if seconds is not None else ""),
    ]
    return Made(name, [(key, value) for key, value in rows if value])


def _seconds(summary: Row) -> float | None:
    seconds = summary["made"].get("seconds", summary.get("seconds"))
    return None if seconds is None else float(seconds)


def _datasets(evaluation: Row) -> list[tuple[str, str]]:
    """Return the folders and the fingerprints of the datasets that were evaluated."""
    return [(str(one["folder"]), str(one["fingerprint"])) for one in evaluation.get("datasets", [])]


def _differing(config: Config) -> list[tuple[str, str, str]]:
    """Return the settings that differ from the experiment's, or from the defaults if it no longer exists."""
    try:
        default = experiments.find(config.experiment)
    except ValueError:
        default = Config(experiment=config.experiment)
    return differences(default, config)


def folder_of(made: Row | None) -> str | None:
    """Return the working directory of a command, None if unknown."""
    return str(made["folder"]) if made and made.get("folder") else None
