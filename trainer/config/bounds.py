"""The types of settings with their bounds, which `typed` checks."""

from typing import Annotated

from trainer.config import typed
from trainer.config.typed import Items, Range

# Bounds beyond which nothing can work: TensorFlow's 32-bit integers, and sizes that would fill any memory.
Steps = Annotated[int, Range(1, 2**31 - 1)]
StepsOrNone = Annotated[int, Range(0, 2**31 - 1)]
Side = Annotated[int, Range(1, 4096)]
Units = Annotated[int, Range(1, 16_384)]
Layers = Annotated[tuple[Units, ...], Items(0)]
BatchSize = Annotated[int, Range(1, 65_536)]
LARGEST = 1e12  # no sensible setting is larger
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
Positive = Annotated[float, Range(0, LARGEST, above=True)]
NotNegative = Annotated[float, Range(0, LARGEST)]
Degrees = Annotated[float, Range(-360, 360)]
Extent = Annotated[float, Range(0, 10)]
Zoom = Annotated[float, Range(0, 100, above=True)]
WEIGHTS = 2**31 - 1  # in one matrix


class Group:
    """A group of settings, named after its class: each must be within the bounds of its type."""

    def __post_init__(self) -> None:
        typed.check(self, f"{type(self).__name__.lower()}.")
