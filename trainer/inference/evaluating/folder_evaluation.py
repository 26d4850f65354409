"""Measure how well a model reads a folder of labelled images."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.cli import UserError
from trainer.inference.measuring import metrics
from trainer.inference.reading import Reading

WORST = 10  # wrong answers that a table lists


@dataclass(frozen=True)
class Judged:
    """An image and what was read in it.

    Attributes:
      path: of the image.
      texts: of its numbers; none if it shows no number.
      reading: what was read.
    """

    path: str
    texts: tuple[str, ...]
    reading: Reading

    @property
    def right(self) -> bool:
        """Whether the answer is one of the image's numbers; if it shows none, whether none is listed."""
        return self.reading.text in self.texts if self.texts else not self.reading.numbers


@dataclass(frozen=True)
class FolderEvaluation:
    """What was measured on a folder.

    Attributes:
      folder: its path.
      images: how many show a number and could be read.
      accuracy: the proportion of them whose whole number was read correctly.
      interval_95: the 95 % interval of `accuracy` (Wilson 1927).
      digit_accuracy: the proportion of correct characters, position by position.
      length_accuracy: the proportion of answers with the right number of characters.
      coverage_98: the largest proportion that can be answered at 98 % accuracy when only the most confident are.
      coverage_99: the same at 99 %.
      by_length: by length of the number, how many show one and how they were read.
      empty: how many images show no number.
      empty_right: for how many of these the model lists no number.
      judged: all images that could be read, sorted by path.
      unread: why the others could not be read, by path.
    """

    folder: str
    images: int
    accuracy: float
    interval_95: tuple[float, float]
    digit_accuracy: float
    length_accuracy: float
    coverage_98: float
    coverage_99: float
    by_length: dict[str, dict[str, Any]]
    empty: int
    empty_right: int
    judged: tuple[Judged, ...] = dataclasses.field(repr=False)
    unread: dict[str, str] = dataclasses.field(repr=False)

    @property
    def wrong(self) -> list[Judged]:
        """The images that were read incorrectly, the most confident answer first."""
        return sorted((one for one in self.judged if not one.right), key=lambda one: -one.reading.confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types of JSON; for each image its path, labels, answer and confidence."""
        figures = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "judged"
        }
        answers = [
            {"path": one.path, "labels": list(one.texts), "text": one.reading.text}
            | {"confidence": one.reading.confidence, "right": one.right}
            for one in self.judged
        ]
        return {**figures, "answers": answers}

    def __str__(self) -> str:
        """Return a table of the figures, the worst answers, and what could not be read."""
        low, high = self.interval_95
        rows = [
            ("numbers fully correct", f"{self.accuracy:.2%}  (95 % interval {low:.2%} to {high:.2%})"),
            ("digits correct", f"{self.digit_accuracy:.2%}"),
            ("lengths correct", f"{self.length_accuracy:.2%}"),
            ("coverage at 98 %", f"{self.coverage_98:.2%}"),
            ("coverage at 99 %", f"{self.coverage_99:.2%}"),
        ]
        rows += [
            (f"length {length}", f"{group['sequence_accuracy']:.2%} of {group['examples']}")
            for length, group in self.by_length.items()
        ]
        if self.empty:
            rows.append(("no number, none listed", f"{self.empty_right} of {self.empty}"))
        lines = [f"{self.images} images of {self.folder}", *(f"  {name:<24}{value}" for name, value in rows)]
        for one in self.wrong[:WORST]:
            labels = " or ".join(one.texts) or "no number"
            text = one.reading.text or "no number"
            lines.append(f"  wrong: {one.path}: {labels}, read as {text} ({one.reading.confidence:.1%})")
        if len(self.wrong) > WORST:
            lines.append(f"  and {len(self.wrong) - WORST} more")
        return "\n".join(lines + [f"  not read: {path}: {why}" for path, why in self.unread.items()])


def measure(folder: str, judged: Sequence[Judged], unread: dict[str, str]) -> FolderEvaluation:
    """Return how well a folder was read.

    Raises:
      UserError: no image could be read.
    """
    if not judged:
        path, why = next(iter(unread.items()))
        raise UserError(f"none of the {len(unread)} images of {folder} can be read: {path}: {why}")
    answers = [
        metrics.Answer(
            key=one.path,
            source=folder,
            label=one.reading.text if one.right else one.texts[0],
            candidates=one.reading.candidates,
            probabilities=(one.reading.confidence,),
        )
        for one in judged
        if one.texts
    ]
    summary = metrics.summarise(answers)
    empty = [one for one in judged if not one.texts]
    same = ("interval_95", "digit_accuracy", "length_accuracy", "coverage_98", "coverage_99", "by_length")
    return FolderEvaluation(
        folder=folder,
        images=len(answers),
        accuracy=summary["sequence_accuracy"],
        **{name: summary[name] for name in same},
        empty=len(empty),
        empty_right=sum(one.right for one in empty),
        judged=tuple(judged),
        unread=unread,
    )
