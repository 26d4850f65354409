"""Draw numbers in many typefaces on plates and walls, as a pure function of (seed, index)."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from beam_pipelines.synthesis import camera, glyphs, surfaces, typefaces
from beam_pipelines.synthesis.glyphs import View
from beam_pipelines.synthesis.texts import TextSource
from trainer.data.formats.records import Box


@dataclass(frozen=True)
class Drawn:
    """An RGB image of a number, its text, and the boxes of its characters in pixels; empty if they are unknown."""

    image: Image.Image
    text: str
    char_boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Fonts:
    """Draws image `index` of a seed, independently of which other images are drawn.

    Attributes:
      faces: the fingerprint of the typefaces; a worker with other typefaces would draw different images, so it fails.
    """

    seed: int
    texts: TextSource
    faces: str = field(default_factory=typefaces.fingerprint)

    def __call__(self, index: int) -> Drawn:
        if self.faces != typefaces.fingerprint():
            raise RuntimeError("a worker has other typefaces than the machine that launched it: install the same there")
        rng = np.random.default_rng([self.seed, index])
        text = self.texts.draw(rng)
        before, after = self.texts.surroundings(np.random.default_rng([self.seed, index, 2]))
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
        return Drawn(image, text, _boxes(plane, seen, image))


def _boxes(plane: glyphs.Plane, seen: View, image: Image.Image) -> tuple[Box, ...]:
    """Return the glyphs' boxes in the photo, whose size may differ from the scene's."""
    across, down = image.width / seen.size[0], image.height / seen.size[1]
    boxes = (seen.project_box(box) for box in plane.boxes)
    return tuple((left * across, top * down, right * across, bottom * down) for left, top, right, bottom in boxes)


def paint(rng: np.random.Generator, canvas: Image.Image, mask: Image.Image, ink: surfaces.Colour) -> None:
    """Paint the number: flat, with a shadow, as raised digits with a lit and a dark side, or outlined."""
    kind = rng.random()
    shift = [int(s) for s in rng.integers(-2, 3, size=2)]
    if kind < 0.3:
        shade = ImageChops.offset(mask, *shift).filter(ImageFilter.GaussianBlur(1))
        canvas.paste((0, 0, 0), mask=shade.point(lambda value: value * 0.6))
    elif kind < 0.42:
        canvas.paste((250, 250, 245), mask=ImageChops.offset(mask, 1, 1).point(lambda value: value * 0.5))
        canvas.paste((5, 5, 5), mask=ImageChops.offset(mask, -1, -1).point(lambda value: value * 0.5))
    elif kind < 0.5 and canvas.height > 40:
        dark = sum(ink) < 384
        canvas.paste((245, 245, 240) if dark else (15, 15, 20), mask=mask.filter(ImageFilter.MaxFilter(3)))
    canvas.paste(ink, mask=mask)
