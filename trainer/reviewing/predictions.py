"""Read the predictions under review: a folder that `score` has completed, or a file with its `.parts` folder."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from trainer.cli import UserError
from trainer.data.formats import prediction_rows
from trainer.data.formats.output_names import FORMER_PREDICTIONS, PREDICTIONS, OutputNames
from trainer.data.formats.prediction_rows import DamagedRows
from trainer.data.images import image_source
from trainer.files import json_content

PARTS = ".parts"  # replaces a prediction file's ending in the name of its folder of shards: out.csv, out.parts
SCORE_AGAIN = "run svhn score again, with --overwrite"
CANDIDATES = 3  # offered, each with a keyboard shortcut
Corners = tuple[float, ...]  # x and y of the four corners in pixels, clockwise from the top left of the text


@dataclass(frozen=True)
class Row:
    """A row of the predictions.

    Attributes:
      number: its index among all rows.
      key: of its image, a path if scoring found it as a file.
      text: the best candidate.
      shows_none: whether the model found no number, so that the text is only a guess.
      confidence: of the text.
      candidates: the best texts.
      box: where the number is; None if the model reads whole images.
      others: how many other numbers were listed in the image.
    """

    number: int
    key: str
    text: str
    shows_none: bool
    confidence: float
    candidates: tuple[str, ...]
    box: Corners | None
    others: int


@dataclass(frozen=True)
class Predictions:
    """Complete predictions: the folder of their shards, and their summary."""

    path: str
    folder: str
    summary: dict[str, Any]

    @cached_property
    def min_confidence(self) -> float | None:
        """The confidence from which rows were accepted; None if they all were."""
        try:
            return float(self.summary["request"]["min_confidence"]) or None
        except (LookupError, TypeError, ValueError):
            return None

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield all rows, each with its number.

        Raises:
          UserError: a shard is missing or damaged, or does not have as many rows as the summary says.
        """
        number = 0
        for shard in self.summary["shards"]:
            path, begin = f"{self.folder}/{shard['name']}", number
            try:
                with image_source.opened(path) as file:
                    for row in prediction_rows.read(file, shard["name"]):
                        yield number, row
                        number += 1
            except (OSError, DamagedRows) as error:
                raise UserError(f"{path} cannot be read ({error}): {SCORE_AGAIN}") from error
            if number - begin != shard["rows"]:
                raise UserError(f"{path} holds {number - begin} rows, expected {shard['rows']}: {SCORE_AGAIN}")


def open_predictions(path: str) -> Predictions:
    """Return the predictions in a folder, or those in a file such as `out.csv`, from the folder `out.parts` next to it.

    Raises:
      UserError: they do not exist, are not complete or are damaged.
    """
    stem, ending = os.path.splitext(path.rstrip("/"))
    is_file = ending.removeprefix(".").lower() in prediction_rows.ENDINGS and not os.path.isdir(path)
    folder = f"{stem}{PARTS}" if is_file else path.rstrip("/") or "/"
    names = next(filter(lambda one: _content(f"{folder}/{one.completed}") is not None, _NAMES), None)
    if names is None:
        raise UserError(f"{path} has no finished predictions in {folder}: give the --output of a finished svhn score")
    summary_path = f"{folder}/{names.description}"
    summary = json_content.parse(
        _content(summary_path) or b"", summary_path, advice=SCORE_AGAIN, keys=("shards", "rows")
    )
    try:
        for shard in summary["shards"]:
            if os.path.basename(shard["name"]) != shard["name"] or int(shard["rows"]) < 0:
                raise ValueError("a shard is not named by its file")
    except (TypeError, LookupError, ValueError) as error:
        raise UserError(f"{summary_path} is damaged ({error!r}): {SCORE_AGAIN}") from error
    return Predictions(path, folder, summary)


_NAMES: tuple[OutputNames, ...] = (PREDICTIONS, FORMER_PREDICTIONS)


def _content(path: str) -> bytes | None:
    try:
        with image_source.opened(path) as file:
            return file.read()
    except OSError:
        return None


def opened(row: Row) -> BinaryIO:
    """Open the image of a row for which `prediction_rows.is_image_file`.

    Raises:
      OSError: it can no longer be read.
    """
    return image_source.opened(row.key)


def parsed(number: int, row: dict[str, Any]) -> Row:
    """Return a row of a shard.

    Raises:
      UserError: its values have the wrong types.
    """
    try:
        texts = tuple(str(candidate["text"]) for candidate in row["candidates"])
        box = tuple(float(value) for value in row["box"]) if row.get("box") is not None else None
        if box is not None and len(box) != 8:
            raise ValueError("its box does not have eight values")
        numbers = row.get("numbers")
        shows_none = numbers == [] if numbers is not None else not row["text"]
        others = max(0, len(numbers or ()) - 1)
        return Row(
            number,
            str(row["key"]),
            str(row["text"]),
            shows_none,
            float(row["confidence"]),
            texts[:CANDIDATES],
            box,
            others,
        )
    except (TypeError, LookupError, ValueError) as error:
        shown = json.dumps(row, default=str)[:100]
        raise UserError(f"row {number} of the predictions is damaged ({error!r}): {shown}: {SCORE_AGAIN}") from error
