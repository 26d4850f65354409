"""What a validation measured."""

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
