"""The result of a validation, and labelled images to show with it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The result of a validation.

    Attributes:
      score: the figure by which the best checkpoint is chosen, 0 to 1; higher is better.
      text: for the log.
      scalars: the figures to store and to plot, the score among them.
    """

    score: float
    text: str
    scalars: dict[str, float]


@dataclass(frozen=True)
class Shown:
    """What to show about a labelled image: a line of text, and boxes.

    Attributes:
      caption: the label, and what the model answered.
      right: whether the answer is right.
      label_boxes, boxes: of the label and of the answer, each x and y of four corners in pixels of the model's input.
    """

    caption: str
    right: bool = True
    label_boxes: Sequence[Sequence[float]] = ()
    boxes: Sequence[Sequence[float]] = ()
