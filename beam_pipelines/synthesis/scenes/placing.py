"""Choose places and sizes in a scene, and blend pieces of photos into it."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

SMALLEST = 9.0  # pixels; the camera may halve this, and smaller digits could not be read
TRIES = 8
STEEP, STEEPEST = (
    0.1,
    0.5,
)  # share of pieces that look as if seen from the side; the least share of their width that remains
STRONGEST_SHIFT = 70  # of 255: the largest shift of a piece's colour towards that of its surroundings


@dataclass
class Places:
    """The width and height of a scene, and the boxes in it that are taken, in pixels."""

    size: tuple[int, int]
    taken: list[tuple[int, int, int, int]] = field(default_factory=list)

    def take(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int] | None:
        """Find a place for a box of this width and height that overlaps no other, and take it.

        Returns:
          Its left and top edge; None if there is no room.
        """
        width, height = size
        if width >= self.size[0] or height >= self.size[1]:
            return None
        for _ in range(TRIES):
            x = int(rng.integers(0, self.size[0] - width + 1))
            y = int(rng.integers(0, self.size[1] - height + 1))
            box = (x, y, x + width, y + height)
            if not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                return x, y
        return None


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def height(rng: np.random.Generator, size: tuple[int, int], *, tallest: float) -> float:
    """Draw a height in pixels from a log-uniform distribution, up to the proportion `tallest` of the scene."""
    return float(np.exp(rng.uniform(np.log(SMALLEST), np.log(max(SMALLEST + 1, tallest * min(size))))))


def paste(
    rng: np.random.Generator, canvas: Image.Image, places: Places, piece: Image.Image, scale: float
) -> tuple[tuple[int, int], tuple[float, float]] | None:
    """Scale a piece of a photo and paste it, with its colour shifted to that of its place, mostly with soft edges.

    Returns:
      Its left and top edge, and the factors by which it was scaled across and down; None if there is no room for it.
    """
    stretch = rng.uniform(STEEPEST, 0.87) if rng.random() < STEEP else rng.uniform(0.87, 1.15)
    size = max(3, round(piece.width * scale * stretch)), max(3, round(piece.height * scale))
    spot = places.take(rng, size)
    if spot is None:
        return None
    box = (*spot, spot[0] + size[0], spot[1] + size[1])
    pixels = np.asarray(piece.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32)
    under = np.asarray(canvas.crop(box), np.float32)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(axis=0)
    shift = np.clip(under.mean(axis=(0, 1)) - edge, -STRONGEST_SHIFT, STRONGEST_SHIFT)
    pixels = pixels + np.float32(rng.uniform(0, 1)) * shift
    if rng.random() < 0.75:
        pixels = under + _feather(size, rng.uniform(0.05, 0.16) * min(size)) * (pixels - under)
    canvas.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), spot)
    return spot, (size[0] / piece.width, size[1] / piece.height)


def _feather(size: tuple[int, int], soft: float) -> np.ndarray:
    """Return weights that rise from 0 at the edges to 1, float32 [height, width, 1]."""
    across, down = (np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / max(1.0, soft) for side in size)
    return np.clip(np.minimum(across, down[:, np.newaxis]), 0, 1)[..., np.newaxis].astype(np.float32)
