"""What a validation measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The result of a validation.

    Attributes:
      score: the figure that the best checkpoint has the highest of, 0 to 1.
      text: for the log.
      scalars: to store and to plot; `Model.measure` names the score among them.
    """

    score: float
    text: str
    scalars: dict[str, float]
