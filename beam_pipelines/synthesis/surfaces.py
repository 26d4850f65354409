"""Draw what numbers are painted on: colours, walls, plates, and the clutter around them."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from beam_pipelines.inputs import images
from beam_pipelines.synthesis import typefaces
from beam_pipelines.synthesis.glyphs import MARGIN, View
from trainer.data.formats.records import Box

Colour = tuple[int, ...]


def colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Return the colours of wall, plate and ink; the ink differs from both in brightness."""
    kind = rng.random()
    if kind < 0.15:  # white on blue enamel
        plate = near(rng, (25, 45, 120), 25)
        return _muted(rng, rng.uniform(60, 150)), plate, near(rng, (225, 228, 235), 20)
    if kind < 0.3:  # dark on a white plate
        ink = near(rng, (35, 35, 45), 30) if rng.random() < 0.7 else near(rng, (30, 50, 140), 25)
        return _muted(rng, rng.uniform(120, 190)), near(rng, (215, 215, 210), 25), ink
    if kind < 0.4:  # brass or white on dark wood
        wood = near(rng, (75, 48, 32), 25)
        return wood, wood, near(rng, (205, 175, 110) if rng.random() < 0.5 else (220, 215, 205), 25)
    dark_ink = rng.random() < 0.55
    ink_level = rng.uniform(10, 80) if dark_ink else rng.uniform(175, 245)
    contrast = rng.uniform(60, 165)
    level = float(np.clip(ink_level + contrast if dark_ink else ink_level - contrast, 0, 255))
    return _muted(rng, level), _muted(rng, level), _muted(rng, ink_level)


def near(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return a similar colour, each of whose values is at most `spread` away."""
    return tuple(int(c) for c in np.clip(np.array(colour) + rng.uniform(-spread, spread, size=3), 0, 255))


def _muted(rng: np.random.Generator, level: float) -> Colour:
    """Return a colour: mostly grey, sometimes bright."""
    return near(rng, (level,) * 3, 45 if rng.random() < 0.3 else 16)  # type: ignore[arg-type]


def wall(rng: np.random.Generator, size: tuple[int, int], colour: Colour) -> Image.Image:
    """Draw a surface with texture at three scales, sometimes with wood grain or brick joints."""
    width, height = size
    pixels = np.tile(np.array(colour, np.float32), (height, width, 1))
    stretch = (1, 6) if rng.random() < 0.15 else (1, 1)  # grain
    for cell, strength in ((32, 12), (8, 8), (2, 5)):
        shape = (height // cell + 2, width // (cell * stretch[1]) + 2)
        texture = Image.fromarray(rng.normal(0, strength * rng.random(), shape).astype(np.float32))
        pixels += np.asarray(texture.resize(size, Image.Resampling.BICUBIC))[..., np.newaxis]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.08:
        _bricks(rng, image, colour)
    return image


def _bricks(rng: np.random.Generator, image: Image.Image, colour: Colour) -> None:
    joint = near(rng, colour, 40)
    course = int(rng.integers(9, 22))
    pen = ImageDraw.Draw(image)
    for row, y in enumerate(range(int(rng.integers(course)), image.height, course)):
        pen.line([(0, y), (image.width, y)], fill=joint)
        for x in range((row % 2) * course, image.width, 2 * course):
            pen.line([(x, y), (x, y + course)], fill=joint)


def plate(
    rng: np.random.Generator, canvas: Image.Image, seen: View, plane: tuple[int, int], fill: Colour, ink: Colour
) -> None:
    """Draw a plate under the number, half of the time with a frame in the colour of the ink."""
    inset = int(rng.integers(1, MARGIN - 4))
    _plates(rng, canvas, seen, plane, [(inset, inset, plane[0] - 1 - inset, plane[1] - 1 - inset)], fill, ink)


def tiles(
    rng: np.random.Generator,
    canvas: Image.Image,
    seen: View,
    plane: tuple[int, int],
    boxes: Sequence[Box],
    fill: Colour,
    ink: Colour,
) -> None:
    """Draw a separate plate under each character, given the characters' boxes in the plane."""
    left, top, right, bottom = images.union(boxes)
    beside, below = rng.uniform(1, MARGIN - 4, 2)
    middles = [(box[0] + box[2]) / 2 for box in boxes]
    widest = max(box[2] - box[0] for box in boxes)
    apart = all(widest + 2 * beside < after - before for before, after in pairwise(middles))
    if bottom - top > right - left:  # stacked
        sides = [(middle - widest / 2, middle + widest / 2) for middle in middles]
        boxes = [(left, box[1], right, box[3]) for (left, right), box in zip(sides, boxes, strict=True)]
    elif apart:  # there is room for tiles of one width
        boxes = [(middle - widest / 2, top, middle + widest / 2, bottom) for middle in middles]
    else:
        boxes = [(box[0], top, box[2], bottom) for box in boxes]
    shapes = [(box[0] - beside, box[1] - below, box[2] + beside, box[3] + below) for box in boxes]
    _plates(rng, canvas, seen, plane, shapes, fill, ink)


def _plates(
    rng: np.random.Generator,
    canvas: Image.Image,
    seen: View,
    plane: tuple[int, int],
    shapes: Sequence[Box],
    fill: Colour,
    ink: Colour,
) -> None:
    mask, radius = Image.new("L", plane), int(rng.integers(0, 9))
    for shape in shapes:
        ImageDraw.Draw(mask).rounded_rectangle(shape, radius, fill=255)
    canvas.paste(fill, mask=seen.project(mask))
    if rng.random() < 0.5:
        frame, line = Image.new("L", plane), int(rng.integers(1, 3))
        for shape in shapes:
            ImageDraw.Draw(frame).rounded_rectangle(shape, radius, outline=255, width=line)
        canvas.paste(ink, mask=seen.project(frame))


def neighbours(rng: np.random.Generator, canvas: Image.Image, ink: Colour) -> None:
    """Sometimes write something next to the number: a digit cut off by the border, or a small word.

    At most a third of the digit is visible, and words consist of letters, so neither is part of the number.
    """
    if rng.random() >= 0.1:
        return
    width, height = canvas.size
    faces = typefaces.installed()
    face = faces[rng.integers(len(faces))]
    colour = ink if rng.random() < 0.6 else _muted(rng, rng.uniform(0, 255))
    pen = ImageDraw.Draw(canvas)
    if rng.random() < 0.6:
        font = typefaces.load(face, int(height * rng.uniform(0.4, 0.8)) + 1)
        char = "0123456789"[rng.integers(10)]
        left, top, right, bottom = font.getbbox(char)
        shown = rng.uniform(0.1, 1 / 3) * (right - left)
        x = shown - right if rng.random() < 0.5 else width - shown - left
        pen.text((x, (height - top - bottom) / 2 + rng.uniform(-0.1, 0.1) * height), char, fill=colour, font=font)
    else:
        font = typefaces.load(face, max(5, int(height * rng.uniform(0.08, 0.16))))
        word = "".join(rng.choice(list("ABCDEFGHIKLMNPRSTUVW"), size=rng.integers(3, 9)))
        left, top, right, bottom = font.getbbox(word)
        y = -top if rng.random() < 0.5 else height - bottom
        pen.text((rng.uniform(-0.2, 0.6) * width, y), word, fill=colour, font=font)


def clutter(rng: np.random.Generator, canvas: Image.Image) -> None:
    """Draw clutter behind the number: another surface at an edge, cables and cracks, screws."""
    width, height = canvas.size
    pen = ImageDraw.Draw(canvas)
    if rng.random() < 0.3:
        edge = rng.uniform(0, 0.14)
        boxes = [
            (0, 0, int(edge * width), height),
            (int((1 - edge) * width), 0, width, height),
            (0, 0, width, int(edge * height)),
            (0, int((1 - edge) * height), width, height),
        ]
        canvas.paste(_muted(rng, rng.uniform(0, 255)), boxes[rng.integers(4)])
    for _ in range(rng.integers(0, 3) if rng.random() < 0.3 else 0):
        ends = [(float(rng.uniform(0, width)), 0.0), (float(rng.uniform(0, width)), float(height))]
        if rng.random() < 0.5:
            ends = [(0.0, float(rng.uniform(0, height))), (float(width), float(rng.uniform(0, height)))]
        pen.line(ends, fill=_muted(rng, rng.uniform(20, 200)), width=1)
    for _ in range(rng.integers(1, 5) if rng.random() < 0.15 else 0):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.5, 1.5)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_muted(rng, rng.uniform(20, 230)))
