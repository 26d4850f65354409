"""Numbers drawn in many typefaces on plates and walls: a pure function of (seed, index).

A picture is made at its final size: glyphs and plate as masks in a plane of their own, a random projective
map onto a textured background, uneven light, blur and noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from beam_pipelines import typefaces
from trainer.records import Box
from trainer.vocab import DIGITS

MARGIN = 12  # of the plane around the number, in pixels
Colour = tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """A picture of a number: RGB, what it says, and the boxes of its characters in pixels."""

    image: Image.Image
    text: str
    char_boxes: tuple[Box, ...]


def draw(seed: int, index: int, *, max_digits: int, alphabet: str = DIGITS) -> Drawn:
    """Draws picture `index` of a seed; it is the same whatever else is drawn."""
    rng = np.random.default_rng([seed, index])
    text = "".join(rng.choice(list(alphabet), size=rng.integers(1, max_digits + 1)))
    glyphs, plane_boxes = _set_text(rng, text)
    quad, size = _place(rng, glyphs.size)
    colours = _colours(rng)
    canvas = _background(rng, size, colours[0])
    to_plane = _projective(quad, glyphs.size)

    def project(mask: Image.Image) -> Image.Image:
        return mask.transform(size, Image.Transform.PERSPECTIVE, to_plane, Image.Resampling.BILINEAR)

    if rng.random() < 0.5:
        _draw_plate(rng, canvas, project, glyphs.size, colours)
    mask = project(glyphs)
    if rng.random() < 0.3:
        shift = rng.integers(-2, 3, size=2)
        shade = ImageChops.offset(mask, *map(int, shift)).filter(ImageFilter.GaussianBlur(1))
        canvas.paste((0, 0, 0), mask=shade.point(lambda value: value * 0.6))
    canvas.paste(colours[2], mask=mask)
    image = _photograph(rng, canvas)
    return Drawn(image, text, tuple(_project_box(box, to_plane, size) for box in plane_boxes))


def _set_text(rng: np.random.Generator, text: str) -> tuple[Image.Image, list[Box]]:
    """The number in a plane: a mask, and the box of each glyph in it."""
    faces = typefaces.installed()
    font = typefaces.load(faces[rng.integers(len(faces))], int(rng.integers(24, 49)))
    gap = rng.uniform(-0.06, 0.25) * font.size
    wobble = rng.uniform(0, 0.06) * font.size
    bounds = [font.getbbox(char, anchor="ls") for char in text]
    height = max(b[3] for b in bounds) - min(b[1] for b in bounds)
    baseline = MARGIN + wobble - min(b[1] for b in bounds)
    x = float(MARGIN)
    spots = []
    for left, _, right, _ in bounds:
        spots.append((x - left, baseline + rng.uniform(-wobble, wobble)))
        x += max(right - left + gap, 0.3 * (right - left))
    width = x - min(gap, 0) + MARGIN
    mask = Image.new("L", (int(width) + 1, int(height + 2 * wobble) + 2 * MARGIN + 1))
    pen = ImageDraw.Draw(mask)
    for char, spot in zip(text, spots, strict=True):
        pen.text(spot, char, fill=255, font=font, anchor="ls")
    boxes = [
        (sx + left, sy + top, sx + right, sy + bottom)
        for (sx, sy), (left, top, right, bottom) in zip(spots, bounds, strict=True)
    ]
    return mask, boxes


def _place(rng: np.random.Generator, plane: tuple[int, int]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Where the corners of the plane come to lie, [4, 2], and the size of the picture around them."""
    width, height = plane
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float) - (width / 2, height / 2)
    angle = np.deg2rad(rng.normal(0, 5))
    slant, scale = rng.normal(0, 0.1), rng.uniform(0.4, 1.1)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([(cos, -sin), (sin, cos)]) @ np.array([(1, slant), (0, rng.uniform(0.9, 1.25))])
    corners = scale * corners @ turn.T
    corners += rng.uniform(-0.05, 0.05, size=(4, 2)) * scale * height
    low, high = corners.min(axis=0), corners.max(axis=0)
    border = rng.uniform(-0.12, 0.35, size=4) * scale * height  # left, top, right, bottom; some cut into the margin
    border = np.maximum(border, -0.6 * scale * MARGIN)
    size = np.maximum(np.ceil(high - low + border[:2] + border[2:]), 8).astype(int)
    return corners - low + border[:2], (int(size[0]), int(size[1]))


def _projective(quad: NDArray[np.float64], plane: tuple[int, int]) -> tuple[float, ...]:
    """The eight coefficients of the map from picture to plane, as Pillow takes them."""
    width, height = plane
    targets = [(0, 0), (width, 0), (width, height), (0, height)]
    rows, values = [], []
    for (x, y), (u, v) in zip(quad, targets, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    return tuple(float(c) for c in np.linalg.solve(np.array(rows), np.array(values)))


def _project_box(box: Box, to_plane: tuple[float, ...], size: tuple[int, int]) -> Box:
    """The box in the picture around a box in the plane, clipped to the picture."""
    picture = np.linalg.inv(np.array([*to_plane, 1.0]).reshape(3, 3))
    corners = np.array([(box[i], box[j], 1.0) for i in (0, 2) for j in (1, 3)]) @ picture.T
    points = corners[:, :2] / corners[:, 2:]
    low = np.clip(points.min(axis=0), 0, size)
    high = np.clip(points.max(axis=0), 0, size)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Wall, plate and ink; the ink differs from both in brightness."""
    dark_ink = rng.random() < 0.5

    def near(level: float, spread: float) -> Colour:
        return tuple(int(c) for c in np.clip(level + rng.uniform(-spread, spread, size=3), 0, 255))

    ink = rng.uniform(10, 80) if dark_ink else rng.uniform(175, 245)
    contrast = rng.uniform(55, 170)
    other = np.clip(ink + contrast if dark_ink else ink - contrast, 0, 255)
    return near(other, 35), near(other, 35), near(ink, 30)


def _background(rng: np.random.Generator, size: tuple[int, int], colour: Colour) -> Image.Image:
    """A wall: texture at three scales, and often another surface that begins at some edge."""
    width, height = size
    wall = np.tile(np.array(colour, np.float32), (height, width, 1))
    for cell, strength in ((32, 12), (8, 8), (2, 5)):
        shape = (height // cell + 2, width // cell + 2)
        texture = Image.fromarray(rng.normal(0, strength * rng.random(), shape).astype(np.float32))
        wall += np.asarray(texture.resize(size, Image.Resampling.BICUBIC))[..., np.newaxis]
    image = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8))
    if rng.random() < 0.35:
        edge = int(rng.uniform(0, 0.12) * width)
        box = (0, 0, edge, height) if rng.random() < 0.5 else (width - edge, 0, width, height)
        image.paste(tuple(int(c) for c in rng.integers(0, 256, size=3)), box)
    return image


def _draw_plate(
    rng: np.random.Generator,
    canvas: Image.Image,
    project: Callable[[Image.Image], Image.Image],
    plane: tuple[int, int],
    colours: tuple[Colour, Colour, Colour],
) -> None:
    plate = Image.new("L", plane)
    inset = int(rng.integers(1, MARGIN - 4))
    shape = [inset, inset, plane[0] - 1 - inset, plane[1] - 1 - inset]
    radius = int(rng.integers(0, 9))
    ImageDraw.Draw(plate).rounded_rectangle(shape, radius, fill=255)
    canvas.paste(colours[1], mask=project(plate))
    if rng.random() < 0.5:
        frame = Image.new("L", plane)
        ImageDraw.Draw(frame).rounded_rectangle(shape, radius, outline=255, width=int(rng.integers(1, 3)))
        canvas.paste(colours[2], mask=project(frame))


def _photograph(rng: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """Blur, uneven light, noise."""
    if rng.random() < 0.7:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.1))))
    pixels = np.asarray(canvas, np.float32)
    height, width = pixels.shape[:2]
    slope_x, slope_y = rng.normal(0, 0.18, size=2)
    light = 1 + slope_x * np.linspace(-1, 1, width) + slope_y * np.linspace(-1, 1, height)[:, np.newaxis]
    pixels = pixels * light[..., np.newaxis] + rng.normal(0, rng.uniform(0, 6), size=pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
