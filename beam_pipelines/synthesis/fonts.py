"""Draw numbers in many typefaces on plates and walls, or in other styles, as a pure function of (seed, index)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from beam_pipelines.synthesis import camera, glyphs, surfaces, typefaces
from beam_pipelines.synthesis.glyphs import View
from beam_pipelines.synthesis.styles import flat, looks
from beam_pipelines.synthesis.texts import BESIDE, TextSource, surroundings
from trainer.data.formats.records import Box

HOUSE = "house"


@dataclass(frozen=True)
class Drawn:
    """An RGB image of a number, its text, and the boxes of its characters in pixels; empty if they are unknown.

    `style` is empty for house numbers and for sources without styles.
    """

    image: Image.Image
    text: str
    char_boxes: tuple[Box, ...]
    style: str = ""


@dataclass(frozen=True)
class Fonts:
    """Draws image `index` of a seed, independently of which other images are drawn.

    Attributes:
      beside: share of house numbers with a letter, a prefix or a word beside them.
      styles: each is drawn equally often: `house`, or one of `looks.LOOKS`.
      faces: the fingerprint of the typefaces; a worker with other typefaces would draw different images, so it fails.
    """

    seed: int
    texts: TextSource
    styles: tuple[str, ...] = (HOUSE,)
    beside: float = BESIDE
    faces: str = field(default_factory=typefaces.fingerprint)

    def __call__(self, index: int) -> Drawn:
        if self.faces != typefaces.fingerprint():
            raise RuntimeError("a worker has other typefaces than the machine that launched it: install the same there")
        rng = np.random.default_rng([self.seed, index])
        style = self.styles[np.random.default_rng([self.seed, index, 3]).integers(len(self.styles))]
        text = self.texts.draw(rng)
        if style != HOUSE:
            made = looks.LOOKS[style].look(rng, text)
            canvas, seen = flat.place(rng, made)
            image = camera.photograph(rng, canvas)
            return Drawn(image, text, _boxes(made.boxes, seen, image), style)
        return self._house_number(rng, index, text)

    def _house_number(self, rng: np.random.Generator, index: int, text: str) -> Drawn:
        before, after = surroundings(np.random.default_rng([self.seed, index, 2]), self.texts.characters, self.beside)
        plane = glyphs.typeset(rng, text, before=before, after=after)
        seen = glyphs.view(rng, plane.mask.size)
        wall, plate, ink = surfaces.colours(rng)
        canvas = surfaces.wall(rng, seen.size, wall)
        surfaces.clutter(rng, canvas)
        # A separate random stream, so that images without neighbours are the same as in versions that drew none.
        surfaces.neighbours(np.random.default_rng([self.seed, index, 1]), canvas, ink)
        if rng.random() < 0.5 or wall != plate:
            surfaces.plate(rng, canvas, seen, plane.mask.size, plate, ink)
        paint(rng, canvas, seen.project(plane.mask), ink)
        image = camera.photograph(rng, canvas)
        return Drawn(image, text, _boxes(plane.boxes, seen, image))


def _boxes(boxes: Iterable[Box], seen: View, image: Image.Image) -> tuple[Box, ...]:
    """Return the glyphs' boxes in the photo, whose size may differ from the scene's."""
    across, down = image.width / seen.size[0], image.height / seen.size[1]
    projected = (seen.project_box(box) for box in boxes)
    return tuple((left * across, top * down, right * across, bottom * down) for left, top, right, bottom in projected)


def paint(rng: np.random.Generator, canvas: Image.Image, mask: Image.Image, ink: surfaces.Colour) -> None:
    """Paint the number: flat, with a shadow, as raised digits with a lit and a dark side, or outlined."""
    kind = rng.random()
    shift = [int(s) for s in rng.integers(-2, 3, size=2)]
    if kind < 0.3:
        shade = ImageChops.offset(mask, *shift).filter(ImageFilter.GaussianBlur(1))
        canvas.paste((0, 0, 0), mask=shade.point(lambda value: value * 0.6))
    elif kind < 0.42:
        light(canvas, mask)
    elif kind < 0.5 and canvas.height > 40:
        dark = sum(ink) < 384
        canvas.paste((245, 245, 240) if dark else (15, 15, 20), mask=mask.filter(ImageFilter.MaxFilter(3)))
    canvas.paste(ink, mask=mask)


def light(canvas: Image.Image, mask: Image.Image) -> None:
    """Draw a lit and a dark side around what will be painted, as of raised or engraved digits."""
    canvas.paste((250, 250, 245), mask=ImageChops.offset(mask, 1, 1).point(lambda value: value * 0.5))
    canvas.paste((5, 5, 5), mask=ImageChops.offset(mask, -1, -1).point(lambda value: value * 0.5))
