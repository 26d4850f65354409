"""Export the answers as a folder of labelled images, which `prepare`, `finetune` and `evaluate` accept."""

import csv
import hashlib
import io
import os
import re
import shutil
import uuid
from collections import Counter
from dataclasses import dataclass

from trainer.cli import UserError
from trainer.data.labels.box_columns import CORNERS
from trainer.files import replaceable
from trainer.files.replaceable import FileKind
from trainer.reviewing import predictions
from trainer.reviewing.journal import Answer
from trainer.reviewing.predictions import Row
from trainer.reviewing.review import Review

LABELS, IMAGES = "labels.csv", "images"
FURTHER = ("key", "read", "confidence", "reviewer", "time")
KIND = FileKind(
    "a list that svhn review wrote",
    "a new folder",
    tuple(f"{','.join(('file', 'label', *box, *FURTHER))}\n".encode() for box in ((), CORNERS)),
)
LONGEST_NAME = 120  # bytes of an image's own name to keep


@dataclass(frozen=True)
class Exported:
    """How many images were exported with a number and without one, and how many were left out, by reason."""

    numbers: int
    none: int
    left_out: dict[str, int]


def write(review: Review, folder: str) -> Exported:
    """Write `labels.csv`, and the images that it lists into `images/`; an earlier export is brought up to date.

    Images on the same disk become hard links, which take no space; others are copied. The list has the box of each
    number if the predictions have boxes.

    Raises:
      UserError: the folder holds a list that something else wrote, or cannot be written.
    """
    path = os.path.join(folder, LABELS)
    replaceable.check_replaceable(path, "--export", KIND)
    boxes = any(row.box is not None for row in review.queue.rows.values())
    lines, counts, left_out = [], Counter[str](), Counter[str]()
    try:
        os.makedirs(os.path.join(folder, IMAGES), exist_ok=True)
    except OSError as error:
        raise UserError(f"--export {folder}: {error.strerror}; give a new folder") from error
    for row in review.queue.rows.values():
        answer = review.journal.current(row.key)
        if answer is None:
            continue
        if reason := _why_not(row, answer, boxes):
            left_out[reason] += 1
            continue
        name = _name(row.key)
        if not _provide(row, os.path.join(folder, IMAGES, name)):
            left_out["missing image"] += 1
            continue
        counts[answer.kind] += 1
        lines.append([name, answer.text, *_box(row, answer, boxes), *_further(row, answer)])
    _write_list(path, boxes, sorted(lines))
    return Exported(counts["number"], counts["none"], dict(left_out))


def _why_not(row: Row, answer: Answer, boxes: bool) -> str:
    if answer.kind == "unreadable":
        return "unreadable"
    return "wrong box" if boxes and answer.kind == "number" and not _corners(row, answer) else ""


def _corners(row: Row, answer: Answer) -> tuple[float, ...] | None:
    """Return the corners of the number: the reviewer's, else the model's; None if the model's box is wrong."""
    return answer.box or (row.box if answer.box_right else None)


def _box(row: Row, answer: Answer, boxes: bool) -> list[str]:
    if not boxes:
        return []
    return [f"{value:.6g}" for value in _corners(row, answer) or ()] if answer.kind == "number" else [""] * len(CORNERS)


def _further(row: Row, answer: Answer) -> list[str]:
    return [row.key, row.text, f"{row.confidence:.4f}", answer.reviewer, answer.time]


def _name(key: str) -> str:
    """Return a file name for an image: unique by a hash of its key, and without characters that need quoting."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", key.rpartition("/")[2])
    return f"{digest}-{plain[-LONGEST_NAME:]}"


def _provide(row: Row, path: str) -> bool:
    """Put the image of a row at a path unless it is there already; return False if it can no longer be read."""
    if os.path.lexists(path):
        return True
    try:
        predictions.opened(row).close()  # it must be a regular file
        if "://" not in row.key:
            os.link(os.path.realpath(row.key), path)
            return True
    except (FileNotFoundError, ValueError):
        return False
    except OSError:  # another disk, a file system without links, or somebody else's file
        pass
    try:
        with predictions.opened(row) as source:
            _copy(source, path)
    except OSError as error:
        if error.filename == row.key:
            return False
        raise
    return True


def _copy(source, path: str) -> None:
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(temporary, "xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _write_list(path: str, boxes: bool, lines: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "label", *(CORNERS if boxes else ()), *FURTHER])
    writer.writerows(lines)
    _copy(io.BytesIO(os.fsencode(out.getvalue())), path)
