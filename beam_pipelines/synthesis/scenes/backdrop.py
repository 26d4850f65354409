"""Make the backdrops of scenes: parts of photos without a number, or drawn walls and house fronts."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from beam_pipelines.inputs import images
from beam_pipelines.sharding.shards import Reject
from beam_pipelines.synthesis import surfaces
from trainer.data.images.model_input import ROOM, ModelInput

SHRUNK_TO = 800  # pixels of the longer side to which photos are shrunk
WORKING_SIZE = ModelInput(SHRUNK_TO // ROOM, SHRUNK_TO // ROOM)


@lru_cache(maxsize=1)
def load(paths: tuple[str, ...]) -> tuple[bytes, ...]:
    """Read photos and return them as JPEG files, shrunk: a worker holds them all in memory.

    Raises:
      Reject: one cannot be read.
    """
    return tuple(map(_shrunk, paths))


def _shrunk(path: str) -> bytes:
    with images.opened(path) as file:
        try:
            image = images.for_model(file, WORKING_SIZE).image
        except Reject as reject:
            raise Reject(reject.reason, f"{path} cannot be read: {reject.detail}") from reject
    image.thumbnail((SHRUNK_TO, SHRUNK_TO))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def draw(rng: np.random.Generator, photos: tuple[bytes, ...], size: int) -> Image.Image:
    """Return a random photo or a part of one, sometimes mirrored, or a drawn wall; the longer side is `size` pixels."""
    if not photos or rng.random() < 0.1:
        return _front(rng, scaled(size, (int(rng.integers(2, 5)), int(rng.integers(2, 5)))))
    image = Image.open(io.BytesIO(photos[rng.integers(len(photos))])).convert("RGB")
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.5:
        share = rng.uniform(0.25, 1.0)
        width, height = (max(8, round(share * side)) for side in image.size)
        left, top = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
        image = image.crop((left, top, left + width, top + height))
    return image.resize(scaled(size, image.size), Image.Resampling.BILINEAR, reducing_gap=2.0)


def scaled(longest: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return a width and height in the same proportion whose longer one is `longest`."""
    width, height = (max(8, round(side * longest / max(size))) for side in size)
    return width, height


def _front(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draw a wall, with windows, doors or a fence as in a house front."""
    wall, other, trim = surfaces.colours(rng)
    image = surfaces.wall(rng, size, wall)
    surfaces.clutter(rng, image)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 4)):
        width, height = rng.uniform(0.1, 0.5, 2) * min(size)
        x, y = rng.uniform(-0.1, 0.9, 2) * size
        pen.rectangle((x, y, x + width, y + height), fill=other, outline=trim, width=int(rng.integers(1, 6)))
        panes = int(rng.integers(1, 4))
        for i in range(1, panes):
            pen.line((x + width * i / panes, y, x + width * i / panes, y + height), fill=trim, width=2)
    return image
