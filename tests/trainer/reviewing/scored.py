"""Predictions as `score` writes them, made without a model."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

BOX = [10.0, 10.0, 50.0, 10.0, 50.0, 30.0, 10.0, 30.0]


def row(key: object, text: str = "12", confidence: float = 0.95, **more: Any) -> dict[str, Any]:
    """Return a row of a model that finds numbers."""
    texts = [text, text[:-1] or "0", f"{text}3"]
    candidates = [{"text": t, "log_prob": -0.1, "probability": p} for t, p in zip(texts, (0.7, 0.2, 0.1), strict=True)]
    numbers = [{"text": text, "confidence": confidence, "box": BOX}]
    made = {"key": str(key), "text": text, "box": BOX, "numbers": numbers, "numbers_cut_off": False}
    made |= {"candidates": candidates, "confidence": confidence, "accepted": True, "found_as": "file", "model": "m"}
    return {name: value for name, value in (made | more).items() if value is not None}


def write(folder: Path, rows: Sequence[dict[str, Any]], *, min_confidence: float = 0.0, shards: int = 2) -> Path:
    """Write complete predictions in JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [rows[i::shards] for i in range(shards)]
    names = [f"predictions-{i:05d}-of-{shards:05d}.jsonl" for i in range(shards)]
    for name, part in zip(names, parts, strict=True):
        (folder / name).write_text("".join(json.dumps(one) + "\n" for one in part))
    summary = {"images": len(rows), "rows": len(rows), "rejects": {}, "model": {}}
    summary |= {"shards": [{"name": n, "rows": len(p)} for n, p in zip(names, parts, strict=True)]}
    summary |= {"request": {"min_confidence": min_confidence}}
    (folder / "_summary.json").write_text(json.dumps(summary))
    (folder / "_COMPLETED").write_text("")
    return folder


def images(folder: Path, count: int) -> list[Path]:
    """Write images, each of another colour."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (80, 40), (number * 7 % 256, 90, 200 - number % 100)).save(path)
    return paths


def labels(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a `labels.csv`."""
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))
