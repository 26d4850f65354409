"""Cut regions out of photos and scenes as a recogniser gets them from a finder: its training data for reading photos.

A finder's box is never exact, so each box is moved, resized and rotated a little before it is cut out upright. Some
boxes extend to what is next to the number, such as a letter. Stacked characters are partly laid side by side, as
`trainer.inference.photos.regions` does. Some regions contain no number, and in some, stacked characters are cut into
the wrong number of parts, through their middle: the text of these regions is empty.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beam_pipelines.synthesis.fonts import Drawn
from beam_pipelines.synthesis.scenes import cutouts
from beam_pipelines.synthesis.scenes.cutouts import Photo
from beam_pipelines.synthesis.texts import STACKED
from trainer.cli import UserError
from trainer.data.formats.records import Number
from trainer.data.labels.stacking import MOST_STACKED, PITCH

SHIFT, RESIZE, TURN = 0.1, (0.88, 1.15), 4.0  # of a box: relative to a character's height; factors; degrees of rotation
MARGIN_X, MARGIN_Y = (0.05, 0.7), (0.05, 0.45)  # left and right, above and below, relative to a character's height
RUN_ON, RUN_OVER = 0.15, (0.2, 1.3)  # share of boxes that extend too far left or right; how far, in character heights
STACK_MARGIN = (0.0, 0.3)  # above and below all stacked characters, relative to the height of one
STACK_BESIDE = (0.0, 0.3)  # left and right of them, relative to their width
TALL = 1.2  # height of a box of several characters relative to its width, above which they are stacked
SIDE_BY_SIDE = 0.25  # share of stacked numbers that are laid side by side; the others stay stacked
WRONG_PARTS = 0.7  # share of wrongly cut stacked numbers among regions without a text, if the photo has such a number
TALL_SHARE, TALL_RANGE, WIDE_RANGE = 0.25, (0.15, 0.5), (0.5, 3.0)  # of regions without a number: width per height
LEAST_HEIGHT = 10  # pixels; less tall characters cannot be read
LARGEST = (96, 224)  # rows and columns of a region; larger ones are shrunk
TRIES = 200  # of records, or of places in a record


@dataclass(frozen=True)
class Box:
    """An oriented box in pixels of an image, its angle in radians."""

    x: float
    y: float
    width: float
    height: float
    angle: float

    @property
    def corners(self) -> NDArray[np.float64]:
        """Its corners, float64 [4, 2]: top left, top right, bottom right, bottom left."""
        right = np.array([math.cos(self.angle), math.sin(self.angle)]) * self.width / 2
        down = np.array([-math.sin(self.angle), math.cos(self.angle)]) * self.height / 2
        return np.array([self.x, self.y]) + np.array([-right - down, right - down, right + down, down - right])

    @property
    def character(self) -> float:
        """The approximate height of a character, whether characters are side by side or stacked."""
        return min(self.width, self.height)


@dataclass(frozen=True)
class NumberRegions:
    """Cuts out region `index` of a seed.

    Attributes:
      paths: shards with boxes. Each worker holds the first `limit` records in memory.
      empty: share of regions without a number.
      stacked: share of regions with a number that certainly show a stacked one, if the photos have any; the others
        show any number.
    Raises:
      UserError: hardly any record has a number that is large enough, or room for a region without one.
    """

    seed: int
    paths: tuple[str, ...]
    limit: int
    empty: float
    stacked: float = STACKED

    def __call__(self, index: int) -> Drawn:
        rng = np.random.default_rng([self.seed, index])
        photos = cutouts.load(self.paths, self.limit)
        wants_number, wants_stacked = rng.random() >= self.empty, rng.random() < self.stacked
        stacked = _stacked(self.paths, self.limit) if wants_number and wants_stacked else ()
        for _ in range(TRIES):
            if not wants_number:
                drawn = _nothing(rng, photos[rng.integers(len(photos))])
            elif stacked:
                drawn = _number(rng, *stacked[rng.integers(len(stacked))])
            else:
                photo = photos[rng.integers(len(photos))]
                drawn = _number(rng, photo, photo.numbers[rng.integers(len(photo.numbers))])
            if drawn:
                return drawn
        raise UserError(
            f"--records: {TRIES} records in a row have no number of {LEAST_HEIGHT} pixels or more"
            if wants_number
            else f"--records: {TRIES} records in a row have no room for a region without a number: give --empty 0"
        )


@lru_cache(maxsize=2)
def _stacked(paths: tuple[str, ...], limit: int) -> tuple[tuple[Photo, Number], ...]:
    """Return the stacked numbers of all photos, each with its photo."""
    found = []
    for photo in cutouts.load(paths, limit):
        size = photo.open().size
        found += [(photo, number) for number in photo.numbers if _is_stacked(number, _exact(number, size))]
    return tuple(found)


def _number(rng: np.random.Generator, photo: Photo, number: Number) -> Drawn | None:
    """Cut a number out of its photo; None if it is too small to be read."""
    image = photo.open()
    exact = _exact(number, image.size)
    if exact.character < LEAST_HEIGHT:
        return None
    box = _moved(rng, exact)
    if _is_stacked(number, exact) and rng.random() < SIDE_BY_SIDE:
        return Drawn(_side_by_side(rng, image, box, len(number.text)), number.text, ())
    box = _widened(rng, box)
    if rng.random() < RUN_ON:
        further = _run_on(rng, box, exact.character)
        if not _touches(further, _taken(image, [other for other in photo.numbers if other is not number])):
            box = further
    return Drawn(_cut(image, box), number.text, ())


def _is_stacked(number: Number, box: Box) -> bool:
    """Return whether the characters of a number are stacked, and large enough to be read."""
    return len(number.text) > 1 and box.height > TALL * box.width and box.character >= LEAST_HEIGHT


def _nothing(rng: np.random.Generator, photo: Photo) -> Drawn | None:
    """Cut out a region without a number, or a stacked number in the wrong number of parts; None if there is neither."""
    image = photo.open()
    if rng.random() < WRONG_PARTS and (wrong := _in_wrong_parts(rng, image, photo)):
        return wrong
    taken = _taken(image, photo.numbers)
    for _ in range(TRIES):
        x, y = rng.uniform(0, image.size)
        height = max(LEAST_HEIGHT, min(image.size) * math.exp(rng.uniform(math.log(0.04), math.log(0.5))))
        width = height * rng.uniform(*(TALL_RANGE if rng.random() < TALL_SHARE else WIDE_RANGE))
        box = Box(x, y, width, height, math.radians(rng.normal(0, 10)))
        if not _touches(box, taken):
            return Drawn(_cut(image, box), "", ())
    return None


def _in_wrong_parts(rng: np.random.Generator, image: Image.Image, photo: Photo) -> Drawn | None:
    """Cut a stacked number into more or fewer parts than characters, and lay these side by side; None if none fits."""
    number = photo.numbers[rng.integers(len(photo.numbers))] if photo.numbers else None
    if number is None:
        return None
    exact = _exact(number, image.size)
    if not _is_stacked(number, exact):
        return None
    low, high = (exact.height / exact.width / pitch for pitch in reversed(PITCH))
    wrong = [count for count in range(2, MOST_STACKED + 1) if low <= count <= high and count != len(number.text)]
    return Drawn(_side_by_side(rng, image, _moved(rng, exact), int(rng.choice(wrong))), "", ()) if wrong else None


def _taken(image: Image.Image, numbers: Sequence[Number]) -> list[NDArray[np.float64]]:
    """Return the left top and right bottom corners of upright boxes around numbers, float64 [2, 2] each."""
    return [np.array(number.upright_box).reshape(2, 2) * image.size for number in numbers]


def _touches(box: Box, taken: Sequence[NDArray[np.float64]]) -> bool:
    low, high = box.corners.min(axis=0), box.corners.max(axis=0)
    return not all((high < first).any() or (low > last).any() for first, last in taken)


def _exact(number: Number, size: tuple[int, int]) -> Box:
    """Return the box of a number in pixels of its image, which has this width and height."""
    corners = np.array(number.corners).reshape(4, 2) * size
    middle, right, down = corners.mean(axis=0), corners[1] - corners[0], corners[3] - corners[0]
    sides = float(np.linalg.norm(right)), float(np.linalg.norm(down))
    return Box(float(middle[0]), float(middle[1]), *sides, math.atan2(right[1], right[0]))


def _moved(rng: np.random.Generator, box: Box) -> Box:
    shift = rng.uniform(-SHIFT, SHIFT, 2) * box.character
    factors = rng.uniform(*RESIZE, 2)
    turned = box.angle + math.radians(rng.normal(0, TURN))
    return Box(box.x + shift[0], box.y + shift[1], box.width * factors[0], box.height * factors[1], turned)


def _widened(rng: np.random.Generator, box: Box) -> Box:
    across, down = (2 * rng.uniform(*margin) * box.character for margin in (MARGIN_X, MARGIN_Y))
    return Box(box.x, box.y, box.width + across, box.height + down, box.angle)


def _run_on(rng: np.random.Generator, box: Box, character: float) -> Box:
    """Move the left or the right side of a box away from the other."""
    further, way = rng.uniform(*RUN_OVER) * character, rng.choice([-0.5, 0.5])
    x, y = box.x + way * further * math.cos(box.angle), box.y + way * further * math.sin(box.angle)
    return Box(x, y, box.width + further, box.height, box.angle)


def _side_by_side(rng: np.random.Generator, image: Image.Image, box: Box, count: int) -> Image.Image:
    """Cut the box into `count` equal parts from top to bottom, and lay these side by side."""
    taller = box.height * (1 + 2 * rng.uniform(*STACK_MARGIN) / count)
    wider = box.width * (1 + 2 * rng.uniform(*STACK_BESIDE))
    column = _cut(image, Box(box.x, box.y, wider, taller, box.angle), (LARGEST[0] * count, LARGEST[1]))
    height = max(1, column.height // count)
    sheet = Image.new("RGB", (column.width * count, height))
    for i in range(count):
        sheet.paste(column.crop((0, i * height, column.width, (i + 1) * height)), (i * column.width, 0))
    return sheet


def _cut(image: Image.Image, box: Box, largest: tuple[int, int] = LARGEST) -> Image.Image:
    """Cut out a box upright; beyond the image's border, the nearest pixel is repeated."""
    factor = min(1.0, largest[0] / box.height, largest[1] / box.width)
    low, high = np.floor(box.corners.min(axis=0)).astype(int) - 1, np.ceil(box.corners.max(axis=0)).astype(int) + 2
    columns, rows = (np.clip(np.arange(a, b), 0, s - 1) for a, b, s in zip(low, high, image.size, strict=True))
    around = Image.fromarray(np.asarray(image)[rows][:, columns])
    if factor < 1:  # with a filter, so that large regions do not alias
        around = around.resize([max(1, round(side * factor)) for side in around.size], Image.Resampling.BOX)
    scale = np.array(around.size) / (high - low)
    top_left, top_right, bottom_right, bottom_left = (box.corners - low) * scale
    size = max(4, round(box.width * factor)), max(8, round(box.height * factor))
    quad = (*top_left, *bottom_left, *bottom_right, *top_right)
    return around.transform(size, Image.Transform.QUAD, tuple(map(float, quad)), Image.Resampling.BICUBIC)
