"""Work folders as the trainer writes them, made in milliseconds, and what a report says about them."""

import dataclasses
import json
import random
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from trainer import report
from trainer.config import experiments, schema
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.inference.evaluating import photo_metrics
from trainer.inference.measuring import calibration, metrics
from trainer.inference.measuring.metrics import Answer
from trainer.workdir import files

Row = dict[str, Any]


def answers(count: int, *, wrong: int, keys: list[str] | None = None, labels: list[str] | None = None) -> list[Row]:
    """Return rows of `answers.jsonl`, of which the first `wrong` ones are; their confidence is not the probability."""
    chosen = random.Random(0)
    rows = []
    for i in range(count):
        label = labels[i] if labels else str(chosen.randrange(10, 1000))
        best = label[:-1] + str((int(label[-1]) + 1) % 10) if i < wrong else label
        probability = round(chosen.uniform(0.3, 0.9), 4)
        rows.append({
            "key": keys[i] if keys else f"photos/{i}.png",
            "source": "csv",
            "label": label,
            "candidates": [best, label if i < wrong else label + "1"],
            "probabilities": [probability, 0.05],
            "confidence": round(probability + 0.0999, 4),
            "width": 60,
            "height": 20 + i % 200,
            "box": [0.1, 0.2, 0.9, 0.8],
            "sharpness": float(i),
        })  # fmt: skip
    return rows


def evaluated(workdir: Path, rows: list[Row], *, data: list[str], split: str = "train", **made: str) -> None:
    """Write an evaluation into a work folder."""
    fields = [field.name for field in dataclasses.fields(Answer)]
    as_answers = [Answer(**{name: row[name] for name in fields}) for row in rows]
    probabilities = np.array([row["probabilities"][0] for row in rows])
    right = np.array([row["candidates"][0] == row["label"] for row in rows], bool)
    summary = {
        "step": 7, "data": data, "split": split, "seen": 0, "images_per_second": 9.0, **metrics.summarise(as_answers),
        "calibration": calibration.measure(probabilities, right), "made": {"command": "evaluate it", **made},
        "datasets": [{"folder": one, "fingerprint": "0badcafe"} for one in data],
    }  # fmt: skip
    (workdir / files.EVALUATION_FILE).write_text(json.dumps(summary))
    (workdir / files.ANSWERS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluated_photos(workdir: Path, rows: list[Row], *, data: list[str], split: str = "train") -> None:
    """Write the evaluation of a finder into a work folder."""
    finding = {"f1": 0.5, "precision": 0.5, "recall": 0.5, "threshold": 0.3, "best_recall": 0.5}
    summary = {"step": 7, "data": data, "split": split, "finding": finding, "reading": photo_metrics.summarise([])}
    (workdir / files.EVALUATION_FILE).write_text(json.dumps(summary))
    (workdir / files.ANSWERS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


def keys_of(folder: Path) -> tuple[list[str], list[str]]:
    """Return the keys and the labels of a dataset."""
    info = dataset_info.read_info(str(folder))
    found = []
    for path in dataset_info.shard_paths(str(folder), info, "train"):
        with open(path, "rb") as file:
            found += [records.from_example(data) for data in tfrecord.read_framed(file)]
    return [record.key for record in found], [record.text for record in found]


def trained(workdir: Path, *settings: str, experiment: str = "smoke", data: Sequence[str] = (), **made: str) -> None:
    """Write a work folder of a short training."""
    workdir.mkdir(parents=True, exist_ok=True)
    config = schema.override(experiments.find(experiment), list(settings))
    files.start(str(workdir), config, {"data": list(data), "validation_data": []})
    files.record_start(str(workdir), {"date": "2026-11-27T10:00:00+00:00", "command": "train it", **made})
    for step in (10, 20):
        figures = {"loss": 2.0 / step, "token_accuracy": 0.5, "examples_per_second": 100.0}
        files.append_metrics(str(workdir), {"kind": "training", "step": step, **figures})
        figures = {"sequence_accuracy": step / 40, "digit_accuracy": step / 30, "examples": 40}
        figures |= dict.fromkeys(("f1", "precision", "recall"), step / 40)  # of a finder
        files.append_metrics(str(workdir), {"kind": "validation", "step": step, **figures})


class Page(HTMLParser):
    """A page: its text, its headings, and the attributes of its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.headings: list[str] = []
        self.text = ""
        self.open = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open in ("h1", "h2", "h3"):
            self.headings.append(data)
        if self.open not in ("style", "script"):
            self.text += f" {data}"

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a tag that have these, with `class_` for `class`."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.elements
            if name == tag and all(value in found.get(key, "").split() for key, value in wanted.items())
        ]

    @property
    def images_used(self) -> list[str]:
        """The ids of the images that the cards show."""
        links = (found.get("href", "") for found in self.all("use"))
        return [link.removeprefix("#") for link in links if link.startswith("#image-")]


def page_of(output: Path, *args: object) -> Page:
    """Make a report and return it."""
    assert report.main([*map(str, args), "--output", str(output)]) == 0
    return Page(output.read_text(encoding="utf-8"))
