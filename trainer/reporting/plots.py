"""Draw the plots of the report, as PNG data URLs."""

import base64
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

READING = {"sequence_accuracy": "numbers correct", "digit_accuracy": "digits correct"}
FINDING = {"f1": "F1 of boxes", "recall": "recall", "precision": "precision"}


def curves(rows: list[dict[str, Any]], lines: Mapping[str, str] = MappingProxyType(READING)) -> str:
    """Plot the loss, and the validation figures in `lines` with their labels, by step.

    Args:
      rows: from `files.read_metrics`.
      lines: `READING`, or `FINDING` for a finder.
    """
    training = [row for row in rows if row["kind"] == "training"]
    validation = [row for row in rows if row["kind"] == "validation"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4))
    left.plot([r["step"] for r in training], [r["loss"] for r in training], color="#1f5fa8")
    left.set(title="training loss", xlabel="step", ylim=(0, None))
    steps = [r["step"] for r in validation]
    for name, label in lines.items():
        right.plot(steps, [100 * r[name] for r in validation], "o-", label=label)
    right.set(title="validation", xlabel="step", ylabel="%", ylim=(0, 101))
    right.legend(loc="lower right")
    return _url(figure)


def confusion(answers: list[dict[str, Any]], alphabet: str) -> str:
    """Plot how often each character was read as each other, over the answers of the correct length."""
    counts = np.zeros((len(alphabet), len(alphabet)), int)
    for answer in answers:
        label, read = answer["label"], answer["candidates"][0]
        if len(label) == len(read):
            for x, y in zip(label, read, strict=True):
                counts[alphabet.index(x), alphabet.index(y)] += 1
    side = 2 + 0.42 * len(alphabet)
    figure, axes = plt.subplots(figsize=(side, side))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, count, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black", size=8)
    axes.set_xticks(range(len(alphabet)), list(alphabet))
    axes.set_yticks(range(len(alphabet)), list(alphabet))
    axes.set(xlabel="read", ylabel="label")
    return _url(figure)


def reliability(measured: dict[str, Any]) -> str:
    """Plot accuracy against confidence, before and after calibration, from the result of `calibration.measure`."""
    figure, axes = plt.subplots(figsize=(4.6, 4.4))
    axes.plot([0, 100], [0, 100], color="#999", linewidth=1, linestyle="--")
    for name, label, color in (("before", "before", "#b3261e"), ("after", "calibrated", "#1f5fa8")):
        bins = measured[name]["bins"]
        label = f"{label}: calibration error {100 * measured[name]['calibration_error']:.1f} %"
        columns = ([100 * b[figure_name] for b in bins] for figure_name in ("confidence", "accuracy"))
        axes.plot(*columns, "o-", color=color, markersize=4, label=label)
    axes.set(xlabel="confidence, %", ylabel="numbers fully correct, %", xlim=(0, 101), ylim=(0, 101))
    axes.legend(loc="upper left", fontsize=8)
    return _url(figure)


def histogram(counts: Sequence[int]) -> str:
    """Plot the number of images by confidence, in equal bins from 0 to 1."""
    figure, axes = plt.subplots(figsize=(7, 2.6))
    edges = np.arange(len(counts)) / len(counts)
    axes.bar(edges, counts, width=1 / len(counts), align="edge", color="#1f5fa8", edgecolor="white")
    axes.set(xlabel="confidence", ylabel="images", xlim=(0, 1))
    return _url(figure)


def _url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
