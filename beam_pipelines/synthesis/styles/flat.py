"""Something flat with a number on it, e.g. a display or a plate, and putting it in front of a wall."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from beam_pipelines.synthesis import glyphs, surfaces, typefaces
from beam_pipelines.synthesis.glyphs import View
from beam_pipelines.synthesis.surfaces import Colour
from trainer.data.formats.records import Box

Look = Callable[[np.random.Generator, str], "Flat"]
HEIGHT = 36  # of a digit in pixels, as in `glyphs.typeset`


@dataclass(frozen=True)
class Flat:
    """A flat object: an RGB image of it, a mask of its shape, and the boxes of the characters on it in pixels."""

    image: Image.Image
    shape: Image.Image
    boxes: tuple[Box, ...]


def place(rng: np.random.Generator, flat: Flat) -> tuple[Image.Image, View]:
    """Return an image of the object in front of a wall, and how the object appears in it."""
    seen = glyphs.view(rng, flat.image.size)
    canvas = surfaces.wall(rng, seen.size, surfaces.colours(rng)[0])
    surfaces.clutter(rng, canvas)
    canvas.paste(seen.project(flat.image), mask=seen.project(flat.shape))
    return canvas, seen


def row(masks: Sequence[Image.Image], gaps: Sequence[float], margin: tuple[int, int]) -> tuple[Image.Image, list[Box]]:
    """Put masks of equal height side by side, with a margin (x, y) around them; return a mask and each one's box."""
    height = masks[0].height
    width = int(sum(mask.width for mask in masks) + sum(gaps))
    whole, boxes, x = Image.new("L", (width + 2 * margin[0], height + 2 * margin[1])), [], float(margin[0])
    for mask, gap in zip(masks, gaps, strict=True):
        whole.paste(mask, (int(x), margin[1]))
        left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
        boxes.append((int(x) + left, margin[1] + top, int(x) + right, margin[1] + bottom))
        x += mask.width + gap
    return whole, [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes]


def ground(rng: np.random.Generator, size: tuple[int, int], colour: Colour) -> Image.Image:
    """Return a surface of a colour, lit unevenly."""
    light = Image.fromarray(rng.normal(1, rng.uniform(0, 0.1), (2, 3)).astype(np.float32))
    factors = np.asarray(light.resize(size, Image.Resampling.BICUBIC))[..., np.newaxis]
    return Image.fromarray(np.clip(np.array(colour, np.float32) * factors, 0, 255).astype(np.uint8))


def glow(image: Image.Image, mask: Image.Image, colour: Colour, reach: float) -> None:
    """Light up the mask, and its surroundings a little."""
    halo = mask.filter(ImageFilter.GaussianBlur(reach)).point(lambda value: value * 0.45)
    image.paste(colour, mask=halo)
    image.paste(colour, mask=mask)


def random_colour(rng: np.random.Generator, low: int = 0, high: int = 255) -> Colour:
    """Return any colour with values in this range."""
    return tuple(int(c) for c in rng.integers(low, high + 1, 3))


def font(rng: np.random.Generator, text: str, size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    """Return a random typeface that has all characters; if possible, a bold one."""
    faces = typefaces.that_have(frozenset(text))
    heavy = tuple(face for face in faces if any(word in face for word in ("Bold", "Black", "Heavy"))) if bold else ()
    chosen = heavy or faces
    return typefaces.load(chosen[rng.integers(len(chosen))], size)


def word_mask(
    size: tuple[int, int], text: str, face: ImageFont.FreeTypeFont, centre: tuple[float, float]
) -> Image.Image:
    """Return a mask with a word at a place."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).text(centre, text, fill=255, font=face, anchor="mm")
    return mask
