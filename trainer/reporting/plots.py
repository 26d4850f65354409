"""Draw the charts of the report."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from matplotlib.ticker import MaxNLocator

from trainer.inference.measuring import metrics
from trainer.reporting.charts import INK, LINE, SERIES, Chart, Drawing, Point

READING = {"sequence_accuracy": "numbers correct", "digit_accuracy": "digits correct"}
FINDING = {"f1": "F1 of boxes", "recall": "recall", "precision": "precision"}
LEVELS = (95, 98, 99)  # %, of the coverage


def loss(rows: Sequence[dict[str, Any]]) -> Chart | None:
    """Plot the training loss by step, for rows of `files.read_metrics`; None if there are none."""
    training = [row for row in rows if row["kind"] == "training"]
    if not training:
        return None
    drawing = Drawing("Training loss", x="step", y="loss")
    drawing.line([Point(r["step"], r["loss"], f"step {r['step']:,}: loss {r['loss']:.4f}") for r in training])
    drawing.axes.set_ylim(bottom=0)
    return drawing.finish()


def validation(rows: Sequence[dict[str, Any]], lines: Mapping[str, str] = MappingProxyType(READING)) -> Chart | None:
    """Plot the validation figures in `lines`, with their names, by step; None if there are none."""
    validated = [row for row in rows if row["kind"] == "validation"]
    if not validated:
        return None
    drawing = Drawing("Validation", x="step", y="%")
    for series, (name, label) in enumerate(lines.items()):
        drawing.line(_by_step(validated, name, label), series=series, name=label, marker="o")
    drawing.axes.set_ylim(0, 102)
    return drawing.finish()


def validations(runs: Mapping[str, Sequence[dict[str, Any]]], measure: str) -> Chart | None:
    """Plot one validation figure of several runs by step, for their rows of `files.read_metrics`, by their names."""
    drawing = Drawing("Validation", x="step", y="%")
    for series, (name, rows) in enumerate(runs.items()):
        validated = [row for row in rows if row["kind"] == "validation" and measure in row]
        drawing.line(_by_step(validated, measure, name), series=series, name=name, marker="o")
    return drawing.finish() if drawing.points else None


def _by_step(rows: Sequence[dict[str, Any]], name: str, label: str) -> list[Point]:
    return [Point(r["step"], 100 * r[name], f"step {r['step']:,}: {label} {100 * r[name]:.1f} %") for r in rows]


def coverage(confidences: Sequence[float], right: Sequence[bool], thresholds: Sequence[dict[str, Any]]) -> Chart:
    """Plot the accuracy of the most confident answers by their proportion, with the thresholds for target accuracies.

    Args:
      confidences: of each answer.
      right: whether each answer is correct.
      thresholds: from `calibration.thresholds`.
    """
    ranked = sorted(zip(confidences, right, strict=True), key=lambda answer: -answer[0])
    points, right_so_far = [], 0
    for i, (confident, is_right) in enumerate(ranked, start=1):
        right_so_far += bool(is_right)
        if i == len(ranked) or ranked[i][0] < confident:  # a threshold accepts equal confidences together
            share, accuracy = 100 * i / len(ranked), 100 * right_so_far / i
            text = f"confidence {100 * confident:.1f} % or more: {share:.1f} % of the images, {accuracy:.2f} % correct"
            points.append(Point(share, accuracy, text))
    note = "Answers are accepted in the order of their confidence. Circles are the thresholds in the table."
    drawing = Drawing("Accuracy by coverage", x="images answered, %", y="correct, %", note=note)
    drawing.line(points)
    lowest = min((p.y for p in points), default=0.0)
    bottom = min(90.0, lowest - 2) if lowest > 50 else 0.0
    for level in LEVELS:
        drawing.axes.axhline(level, color=LINE, linewidth=1.2, linestyle=":")
    for row in thresholds:
        if row["confidence"] is not None:
            drawing.axes.plot(100 * row["coverage"], 100 * row["accuracy"], "o", color=SERIES[1], markersize=6)
    drawing.axes.set(xlim=(0, 101), ylim=(max(0.0, bottom), 100.5))
    return drawing.finish()


def reliability(measured: dict[str, Any]) -> Chart:
    """Plot accuracy against confidence, before and after calibration, from the result of `calibration.measure`."""
    note = "15 equal groups of images, by confidence; points on the dashed line are perfectly calibrated."
    drawing = Drawing("Reliability", x="confidence, %", y="correct, %", note=note)
    drawing.axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle="--")
    for series, (name, label) in enumerate((("after", "calibrated"), ("before", "not calibrated"))):
        error = f"{label}: calibration error {100 * measured[name]['calibration_error']:.1f} %"
        points = [_of_bin(b, label) for b in measured[name]["bins"]]
        drawing.line(points, series=series, name=error, marker="o")
    drawing.axes.set(xlim=(0, 102), ylim=(0, 102))
    return drawing.finish()


def _of_bin(group: dict[str, Any], label: str) -> Point:
    confidence, accuracy = 100 * group["confidence"], 100 * group["accuracy"]
    low, high = metrics.wilson_interval(round(group["accuracy"] * group["pictures"]), group["pictures"])
    between = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return Point(
        confidence,
        accuracy,
        f"{label}: confidence {confidence:.1f} %, {accuracy:.1f} % of {group['pictures']} correct ({between})",
    )


def histogram(counts: Sequence[int], threshold: float | None = None) -> Chart:
    """Plot the number of images by confidence, in equal bins from 0 to 1, and the acceptance threshold."""
    note = "" if threshold is None else f"The dashed line is the acceptance threshold, {100 * threshold:.1f} %."
    drawing = Drawing("Images by confidence", x="confidence, %", y="images", note=note)
    width = 100 / max(len(counts), 1)
    drawing.axes.bar([width * i for i in range(len(counts))], counts, width=0.92 * width, align="edge", color=SERIES[0])
    drawing.points = [
        Point(width * (i + 0.5), count, f"confidence {width * i:.0f} to {width * (i + 1):.0f} %: {count:,} images")
        for i, count in enumerate(counts)
    ]
    if threshold is not None:
        drawing.axes.axvline(100 * threshold, color=SERIES[1], linewidth=1.5, linestyle="--")
    drawing.axes.set(xlim=(0, 100))
    drawing.axes.grid(visible=False, axis="x")
    drawing.axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return drawing.finish()
