"""Paint numbers and words into a scene: on plates or directly on the background, level, rotated or stacked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beam_pipelines.inputs import images
from beam_pipelines.synthesis import fonts, glyphs, surfaces
from beam_pipelines.synthesis.glyphs import Plane, View
from beam_pipelines.synthesis.texts import TextSource, surroundings
from trainer.data.formats.records import Box, Corners

LEAST_CONTRAST = 35  # between ink and ground, of 255
TILED = 0.12  # share of numbers whose characters stand apart, as on tiles
TILE_GAPS = (0.2, 1.0)  # between these, as in `glyphs.typeset`
LEANING, LEAN = 0.3, 0.35  # share of stacked numbers that lean to a side; how far at most, as in `glyphs.stack`
STEEP, STEEPEST = 0.1, 0.4  # share of what is seen from the side; the least share of its width that remains
RAISED, SMALLEST_RAISED = 0.06, 30  # share of texts in the material of the wall itself; their least height in pixels


@dataclass(frozen=True)
class Layer:
    """Something to be put into a scene: its plane, its view, and the corners of its text in pixels."""

    plane: Plane
    seen: View
    corners: NDArray[np.float64]


def number(
    rng: np.random.Generator, texts: TextSource, height: float, *, beside: float, stacked: float, turned: float
) -> tuple[str, Layer]:
    """Typeset a random number whose characters are about `height` pixels high.

    Args:
      beside: share of numbers with a letter, a prefix or a word beside them.
      stacked: share of stacked ones among numbers with several characters.
      turned: share of those rotated by about 90 degrees among all others.
    """
    text = texts.draw(rng)
    if len(text) > 1 and rng.random() < stacked:
        lean = rng.uniform(-LEAN, LEAN) if rng.random() < LEANING else 0.0
        return text, _layer(rng, glyphs.stack(rng, text, lean=lean), 0.5 * height, _angle(rng, turned=0.0))
    before, after = surroundings(rng, texts.characters, beside)
    tiled = rng.random() < TILED
    gaps, spaced = (TILE_GAPS, rng.random() < 0.5) if tiled else (glyphs.GAPS, False)
    plane = glyphs.typeset(rng, text, before=before, after=after, gaps=gaps, spaced=spaced)
    return text, _layer(rng, plane, height, _angle(rng, turned=turned))


def word(rng: np.random.Generator, text: str, height: float) -> Layer:
    """Typeset a word, which is not a number."""
    plane = glyphs.stack(rng, text) if rng.random() < 0.05 else glyphs.typeset(rng, text)
    return _layer(rng, plane, height, _angle(rng, turned=0.05))


def upside_down(rng: np.random.Generator, texts: TextSource, height: float) -> Layer:
    """Typeset a number upside down, which must not be read."""
    return _layer(rng, glyphs.typeset(rng, texts.draw(rng)), height, np.pi + _angle(rng, turned=0.0))


def _angle(rng: np.random.Generator, *, turned: float) -> float:
    """Return a random rotation, in radians clockwise: mostly small, sometimes up to 40 degrees or about 90."""
    kind = rng.random()
    if kind < turned:
        return float(np.deg2rad(rng.choice([-90, 90]) + rng.normal(0, 6)))
    return float(np.deg2rad(rng.uniform(-40, 40) if kind > 0.9 else rng.normal(0, 4)))


def _layer(rng: np.random.Generator, plane: Plane, height: float, angle: float) -> Layer:
    """Project a plane so that its characters are about `height` pixels high."""
    tallest = max(bottom - top for _, top, _, bottom in plane.boxes)
    scale = height / max(tallest, 1.0)
    width, depth = plane.mask.size
    quad = np.array([(0, 0), (width, 0), (width, depth), (0, depth)], float) - (width / 2, depth / 2)
    quad *= scale * (rng.uniform(STEEPEST, 0.8) if rng.random() < STEEP else rng.uniform(0.8, 1.25)), scale
    quad[:, 0] += rng.normal(0, 0.1) * quad[:, 1]
    quad += rng.uniform(-0.06, 0.06, (4, 2)) * scale * min(width, depth)
    quad = quad @ np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    quad -= quad.min(axis=0)
    across, down = (int(np.ceil(side)) + 1 for side in quad.max(axis=0))
    averaged = max(1, round(0.7 / scale)) if scale < 0.5 else 1
    seen = View((across, down), glyphs.projective(quad, (width, depth)), averaged)
    left, top, right, bottom = _ink_box(plane)
    return Layer(plane, seen, seen.to_image([(left, top), (right, top), (right, bottom), (left, bottom)]))


def _ink_box(plane: Plane) -> Box:
    """Return the smallest box around the characters' ink, since typefaces may leave much space around a 1."""
    left, top, right, bottom = images.union(plane.boxes)
    x, y = max(0, int(left) - 1), max(0, int(top) - 1)
    solid = plane.mask.crop((x, y, int(right) + 2, int(bottom) + 2)).point([0] * 64 + [255] * 192)
    ink = solid.getbbox() or (0, 0, *solid.size)
    return float(x + ink[0]), float(y + ink[1]), float(x + ink[2]), float(y + ink[3])


def paint(rng: np.random.Generator, canvas: Image.Image, layer: Layer, spot: tuple[int, int]) -> None:
    """Paint a layer onto a scene with its top left corner at `spot`, half of the time on plates."""
    box = (*spot, spot[0] + layer.seen.size[0], spot[1] + layer.seen.size[1])
    patch = canvas.crop(box)
    _, plate, ink = surfaces.colours(rng)
    mask = layer.seen.project(layer.plane.mask)
    ground = np.asarray(patch, np.float32).mean(axis=(0, 1))
    kind = rng.random()
    if kind < 0.35:
        surfaces.plate(rng, patch, layer.seen, layer.plane.mask.size, plate, ink)
    elif kind < 0.5:
        surfaces.tiles(rng, patch, layer.seen, layer.plane.mask.size, layer.plane.boxes, plate, ink)
    elif kind > 1 - RAISED and min(patch.size) >= SMALLEST_RAISED:
        fonts.light(patch, mask)
        ink = surfaces.near(rng, tuple(ground), 25)
    else:
        ink = _ink(rng, ground)
    if min(patch.size) > 12 and rng.random() < 0.3:  # worn paint, metal that shines unevenly
        mask = _worn(rng, mask)
    fonts.paint(rng, patch, mask, ink)
    canvas.paste(patch, box[:2])


def _ink(rng: np.random.Generator, ground: NDArray[np.float32]) -> surfaces.Colour:
    """Return a colour that stands out from the ground, sometimes only barely."""
    level, reach = float(ground.mean()), rng.uniform(LEAST_CONTRAST + 10, 200)
    room = [side for side in (level + reach, level - reach) if 0 <= side <= 255]
    target = room[rng.integers(len(room))] if room else (255.0 if level < 128 else 0.0)
    colour = np.clip(target + rng.normal(0, 12 if rng.random() < 0.7 else 50, 3), 0, 255)
    if abs(colour.mean() - level) < LEAST_CONTRAST:
        colour = np.full(3, 250.0 if level < 128 else 8.0)
    return tuple(int(c) for c in colour)


def _worn(rng: np.random.Generator, mask: Image.Image) -> Image.Image:
    grain = Image.fromarray(rng.integers(90, 256, (5, 7), dtype=np.uint8)).resize(mask.size, Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(mask, np.float32) * np.asarray(grain, np.float32) / 255).astype(np.uint8))


def relative(corners: NDArray[np.float64], size: tuple[int, int]) -> Corners:
    """Return corners in pixels of an image of this size as a record holds them, 0-1."""
    x0, y0, x1, y1, x2, y2, x3, y3 = (corners / size).ravel().tolist()
    return x0, y0, x1, y1, x2, y2, x3, y3
