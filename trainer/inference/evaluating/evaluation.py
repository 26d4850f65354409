"""Measure a trained recogniser on a dataset, without teacher forcing."""

import dataclasses
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer import cli, provenance
from trainer.config.schema import Decode
from trainer.data.formats import dataset_info
from trainer.data.pipeline import input_pipeline, leakage
from trainer.data.pipeline.input_pipeline import LabelledImages
from trainer.files import whole_file
from trainer.inference.evaluating import attention, image_facts
from trainer.inference.load import load_model, read_calibration
from trainer.inference.measuring import calibration, metrics
from trainer.inference.predictor import Predictor
from trainer.workdir import files

log = logging.getLogger(__name__)


def evaluate(
    workdir: str,
    data: list[str],
    split: str,
    *,
    allow_seen: bool = False,
    calibrate: bool = False,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate the best checkpoint of a work folder on a split of some datasets.

    Args:
      workdir: a work folder of trainer.train.
      data: datasets.
      split: the split to read.
      allow_seen: accept images that were trained on.
      calibrate: store the calibration fitted on this split, for `trainer.export`.
      settings: see `load_model`.
    Returns:
      The result of `metrics.summarise`, with `step`, `data`, `split`, `seen` (how many of the images were trained on),
      `images_per_second`, `calibration` from `calibration.measure`, `datasets` from `dataset_info.identities`, and
      `made` from `provenance.gather`. The result and each answer are also stored in the work folder; an answer has its
      calibrated `confidence`, what `image_facts.of` says of its image and, if in `notable.shown`, its `attention`.
    Raises:
      UserError: the work folder or a dataset is not usable, or images were trained on and `allow_seen` is not set.
    """
    config, recogniser, params, state, step = load_model(workdir, settings)
    images = input_pipeline.load(data, split, config)
    trained_on = leakage.remembered(workdir)
    if not allow_seen:
        named = f"split {split} of {', '.join(data)}"
        leakage.check(images.keys, images.fingerprints, trained_on, data=named, advice=leakage.EVALUATE_OTHERS)
    log.info("reading %d images with the checkpoint of step %d", len(images), step)
    begin = time.monotonic()
    predictor = Predictor(recogniser, params, state, config)
    answers = predictor.answers(images)
    seconds = time.monotonic() - begin
    summary = {
        "step": step,
        "data": data,
        "split": split,
        "seen": int(leakage.seen(images.fingerprints, trained_on).sum()),
        "images_per_second": len(answers) / seconds,
        **metrics.summarise(answers),
        "calibration": calibration.measure(*_confident(answers)),
        "datasets": dataset_info.identities(data),
        "made": provenance.gather() | {"seconds": round(seconds, 1)},
    }
    if calibrate:
        _store_calibration(workdir, summary, config.decode)
    rows = _rows(answers, _confidences(workdir, summary, answers, config.decode), images)
    attention.add(rows, images, predictor)
    whole_file.write(f"{workdir}/{files.ANSWERS_FILE}", "".join(json.dumps(row) + "\n" for row in rows))
    whole_file.write_json(f"{workdir}/{files.EVALUATION_FILE}", summary)
    return summary


def _confident(answers: list[metrics.Answer]) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each best candidate, float64 [N], and whether it is correct, bool [N]."""
    return np.array([a.probabilities[0] for a in answers]), np.array([a.right for a in answers], bool)


def _confidences(workdir: str, summary: dict[str, Any], answers: list[metrics.Answer], reading: Decode) -> np.ndarray:
    """Return the calibrated confidence of each answer, float64 [N], by a calibration fitted on other images.

    Use the stored calibration, or cross-fit one if the stored one was fitted on these images.
    """
    probabilities, right = _confident(answers)
    try:
        stored = read_calibration(workdir, summary["step"], reading)
    except cli.UserError as error:  # it is for another checkpoint or other decode settings
        log.info("stored calibration not used: %s", error)
        stored = None
    if stored and not (stored["split"] == summary["split"] and {*stored["data"]} & {*summary["data"]}):
        return calibration.Calibration(stored["temperature"], stored["offset"]).confidence(probabilities)
    return calibration.cross_fitted(probabilities, right)


def _rows(answers: list[metrics.Answer], confidences: np.ndarray, images: LabelledImages) -> list[dict[str, Any]]:
    """Return the answers as JSON values, each with its confidence and what is known about its image."""
    return [
        dataclasses.asdict(answer) | {"confidence": float(confidence)} | facts
        for answer, confidence, facts in zip(answers, confidences, image_facts.of(images), strict=True)
    ]


def _store_calibration(workdir: str, summary: dict[str, Any], reading: Decode) -> None:
    measured = summary["calibration"]
    stored = {
        **{name: summary[name] for name in ("step", "data", "split", "examples")},
        "decode": dataclasses.asdict(reading),
        "temperature": measured["temperature"],
        "offset": measured["offset"],
        "thresholds": measured["thresholds"],
        **{
            name: {figure: measured[name][figure] for figure in ("calibration_error", "log_loss")}
            for name in ("before", "after")
        },
    }
    whole_file.write_json(f"{workdir}/{files.CALIBRATION_FILE}", stored)


def figures(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values of the figures, formatted for display."""
    return overall(summary) + [
        (f"{kind} {name}", f"{group['sequence_accuracy']:.2%} of {group['examples']}")
        for kind in ("length", "source")
        for name, group in summary[f"by_{kind}"].items()
    ]


def overall(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values of the figures of the whole set, formatted for display."""
    low, high = summary["interval_95"]
    return [
        ("numbers fully correct", f"{summary['sequence_accuracy']:.2%}  (95 % interval {low:.2%} to {high:.2%})"),
        ("among the candidates", f"{summary['top_accuracy']:.2%}"),
        ("digits correct", f"{summary['digit_accuracy']:.2%}"),
        ("lengths correct", f"{summary['length_accuracy']:.2%}"),
        ("coverage at 98 %", f"{summary['coverage_98']:.2%}{_expected(summary, 0.98)}"),
        ("coverage at 99 %", f"{summary['coverage_99']:.2%}{_expected(summary, 0.99)}"),
        ("calibration error", _before_after(summary["calibration"], "calibration_error", ".2%")),
        ("log loss", _before_after(summary["calibration"], "log_loss", ".4f")),
    ]


def table(summary: dict[str, Any]) -> str:
    """Return the figures as a table with a heading."""
    rows = figures(summary)
    heading = f"{summary['examples']} images of {', '.join(summary['data'])}, checkpoint of step {summary['step']}"
    if summary["seen"]:
        heading += f"\n  {summary['seen']} of them were trained on: not a measure of accuracy on new images"
    width = max(24, *(len(name) + 2 for name, _ in rows))
    return "\n".join([heading, *(f"  {name:<{width}}{value}" for name, value in rows)])


def _expected(summary: dict[str, Any], accuracy: float) -> str:
    """Return a threshold's expected performance on other images; empty if an older version did not measure it."""
    for row in summary["calibration"].get("thresholds", []):
        if row["accuracy"] == accuracy:
            share = "" if row["expected_accuracy"] is None else f", accuracy {row['expected_accuracy']:.2%}"
            return f"  (cross-fitted: {row['expected_coverage']:.2%}{share})"
    return ""


def _before_after(measured: dict[str, Any], figure: str, form: str) -> str:
    before, after = (format(measured[when][figure], form) for when in ("before", "after"))
    return f"{before}  (calibrated {after})"
