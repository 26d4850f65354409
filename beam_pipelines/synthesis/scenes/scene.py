"""Scenes with no number, one or several: a pure function of (seed, index)."""

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from beam_pipelines.synthesis import camera, typefaces
from beam_pipelines.synthesis.scenes import backdrop, cutouts, distractors, lettering, placing
from beam_pipelines.synthesis.scenes.placing import Places
from beam_pipelines.synthesis.texts import BESIDE, STACKED, TURNED, TextSource
from trainer.data.formats.records import Number
from trainer.data.labels import box_corners

TALLEST = 0.6  # the largest height of characters, relative to the scene
WHOLE_PHOTOS = 0.25  # share of scenes that are whole real photos, if there are any
REAL = 0.5  # share of real numbers in the other scenes, if there are real photos
NUMBERS = ((1, 0.6), (2, 0.25), (3, 0.1), (4, 0.05))  # the number of numbers in a scene, and its probability
TRIES_OF_FIRST = 12  # further numbers to try if there was no room for the first
DISTRACTORS = ((0, 0.3), (1, 0.25), (2, 0.2), (3, 0.15), (6, 0.1))


@dataclass(frozen=True)
class Scene:
    """An RGB image and all numbers in it, the largest first."""

    image: Image.Image
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Scenes:
    """Makes scene `index` of a seed, independently of which other scenes are made.

    Attributes:
      size: the longer side in pixels.
      empty: the share of scenes without a number.
      backgrounds: photos without numbers; if empty, walls and house fronts are drawn.
      photos: shards of records with boxes; scenes show these photos whole, and also their numbers alone.
      records: shards of records with boxes; scenes show only their numbers, and stacks of their digits.
      beside: share of drawn numbers with a letter, a prefix or a word beside them.
      stacked: share of stacked ones among drawn numbers of several characters, and among pasted ones.
      turned: share of the other numbers, drawn or pasted, that are rotated by about 90 degrees; a third of that share
        of all scenes are rotated whole, as by a phone that was held sideways.
      record_limit: how many records of each kind a worker holds in memory.
      faces: the fingerprint of the typefaces; a worker with other typefaces would draw different images, so it fails.
    """

    seed: int
    texts: TextSource
    size: int
    empty: float
    backgrounds: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    record_limit: int = 20_000
    beside: float = BESIDE
    stacked: float = STACKED
    turned: float = TURNED
    faces: str = field(default_factory=typefaces.fingerprint)

    def __call__(self, index: int) -> Scene:
        if self.faces != typefaces.fingerprint():
            raise RuntimeError("a worker has other typefaces than the machine that launched it: install the same there")
        rng = np.random.default_rng([self.seed, index])
        if rng.random() < self.turned / 3:
            canvas, numbers = _sideways(*replace(self, turned=0.0)._made(rng), clockwise=rng.random() < 0.5)
        else:
            canvas, numbers = self._made(rng)
        largest_first = sorted(numbers, key=lambda number: -abs(box_corners.area(number.corners)))
        return Scene(camera.photograph(rng, canvas), tuple(largest_first))

    def _made(self, rng: np.random.Generator) -> tuple[Image.Image, list[Number]]:
        """Return a real photo, or a backdrop with numbers and distractors."""
        photos = cutouts.load(self.photos, self.record_limit)
        stock = photos + cutouts.load(self.records, self.record_limit)
        if photos and rng.random() < WHOLE_PHOTOS * (1 - self.empty):
            return self._whole_photo(rng, photos)
        canvas = backdrop.draw(rng, backdrop.load(self.backgrounds), self.size)
        places = Places(canvas.size)
        numbers: list[Number] = []
        if rng.random() >= self.empty:
            tries = _pick(rng, NUMBERS)
            while tries > 0 or (not numbers and tries > -TRIES_OF_FIRST):
                numbers += self._number(rng, canvas, places, stock)
                tries -= 1
        self._distract(rng, canvas, places)
        return canvas, numbers

    def _number(
        self, rng: np.random.Generator, canvas: Image.Image, places: Places, stock: tuple[cutouts.Photo, ...]
    ) -> list[Number]:
        """Put one number, real or drawn, into a scene; return none if there is no room for it."""
        height = placing.height(rng, places.size, tallest=TALLEST)
        if stock and rng.random() < REAL:
            return self._paste(rng, canvas, places, stock, height)
        shares = {"beside": self.beside, "stacked": self.stacked, "turned": self.turned}
        text, layer = lettering.number(rng, self.texts, height, **shares)
        spot = places.take(rng, layer.seen.size)
        if spot is None:
            return []
        lettering.paint(rng, canvas, layer, spot)
        return [Number(text, lettering.relative(layer.corners + spot, canvas.size))]

    def _paste(
        self,
        rng: np.random.Generator,
        canvas: Image.Image,
        places: Places,
        stock: tuple[cutouts.Photo, ...],
        height: float,
    ) -> list[Number]:
        """Paste a real number, or real digits stacked; return none if there is no room or they are too small."""
        photo = stock[rng.integers(len(stock))]
        stacked = rng.random() < self.stacked
        piece = cutouts.stack(rng, stock) if stacked else cutouts.cut(rng, photo)
        if piece is None:
            return []
        characters = len(piece.text) if piece.corners[3, 1] - piece.corners[0, 1] > piece.image.width else 1
        scale = height * min(characters, 2) / float(np.linalg.norm(piece.corners[3] - piece.corners[0]))
        if not stacked and rng.random() < self.turned:
            piece = cutouts.turned(piece, clockwise=rng.random() < 0.5)
        pasted = placing.paste(rng, canvas, places, piece.image, scale)
        if pasted is None:
            return []
        spot, scaled = pasted
        return [Number(piece.text, lettering.relative(piece.corners * scaled + spot, canvas.size))]

    def _distract(self, rng: np.random.Generator, canvas: Image.Image, places: Places) -> None:
        """Put words, shapes, pieces of photos and upside-down numbers into a scene."""
        for _ in range(_pick(rng, DISTRACTORS)):
            kind, height = rng.random(), placing.height(rng, places.size, tallest=0.3)
            if kind < 0.6:
                layer = lettering.word(rng, distractors.text(rng), height)
            elif kind < 0.65:
                layer = lettering.upside_down(rng, self.texts, height)
            elif kind < 0.8:
                distractors.shape(rng, canvas, places)
                continue
            else:
                distractors.piece(rng, canvas, places, backdrop.load(self.backgrounds))
                continue
            spot = places.take(rng, layer.seen.size)
            if spot:
                lettering.paint(rng, canvas, layer, spot)

    def _whole_photo(
        self, rng: np.random.Generator, photos: tuple[cutouts.Photo, ...]
    ) -> tuple[Image.Image, list[Number]]:
        """Return a real photo, sometimes shrunk and in front of a backdrop."""
        photo = photos[rng.integers(len(photos))]
        image = photo.open()
        if rng.random() < 0.4:
            size, (left, top) = backdrop.scaled(self.size, image.size), (0, 0)
            canvas = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        else:
            canvas = backdrop.draw(rng, backdrop.load(self.backgrounds), self.size)
            size = backdrop.scaled(int(rng.uniform(0.35, 1.0) * min(canvas.size)), image.size)
            left, top = (int(rng.integers(0, a - b + 1)) for a, b in zip(canvas.size, size, strict=True))
            canvas.paste(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), (left, top))
        numbers = []
        for number in photo.numbers:
            corners = np.array(number.corners).reshape(4, 2) * size + (left, top)
            numbers.append(Number(number.text, lettering.relative(corners, canvas.size)))
        return canvas, numbers


def _sideways(canvas: Image.Image, numbers: list[Number], *, clockwise: bool) -> tuple[Image.Image, list[Number]]:
    """Rotate a scene and its numbers by 90 degrees."""
    turned = [replace(number, corners=box_corners.turned(number.corners, clockwise=clockwise)) for number in numbers]
    return canvas.transpose(cutouts.QUARTER_TURN[clockwise]), turned


def _pick(rng: np.random.Generator, weighted: tuple[tuple[int, float], ...]) -> int:
    values, shares = zip(*weighted, strict=True)
    return int(rng.choice(values, p=shares))
