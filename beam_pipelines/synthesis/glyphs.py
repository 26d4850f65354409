"""Typeset a number as a mask in its own plane, and project that plane into an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from beam_pipelines.synthesis import typefaces
from trainer.data.formats.records import Box

SPACE = 0.3  # width of a space, relative to the font size
MARGIN = 12  # of the plane around the number, in pixels
GAPS = (-0.06, 0.25)  # the usual gaps between characters, relative to the font size


@dataclass(frozen=True)
class Plane:
    """A number set in a plane: its mask and the box of each glyph, both in pixels of the plane."""

    mask: Image.Image
    boxes: list[Box]


def typeset(
    rng: np.random.Generator,
    text: str,
    *,
    before: str = "",
    after: str = "",
    gaps: tuple[float, float] = GAPS,
    spaced: bool = False,
) -> Plane:
    """Typeset a text in a random typeface, size and spacing, often on an uneven or climbing baseline.

    Args:
      before, after: texts that are set in the same way, but get no boxes: they are not part of the number.
      gaps: the least and the widest gap between characters, relative to the font size.
      spaced: whether all characters take up as much width as the widest one, as on tiles.
    """
    faces = typefaces.that_have(frozenset(text))
    font = typefaces.load(faces[rng.integers(len(faces))], int(rng.integers(24, 49)))
    gap = rng.uniform(*gaps) * font.size
    wobble = rng.uniform(0, 0.06) * font.size
    climb = rng.uniform(-0.25, 0.25) * font.size if rng.random() < 0.12 else 0.0  # of each glyph above the previous one
    line = before + text + after
    bounds = [font.getbbox(char, anchor="ls") for char in line]
    rise = abs(climb) * (len(line) - 1)
    top = min(b[1] for b in bounds)
    height = max(b[3] for b in bounds) - top + rise
    widest = max(right - left for left, _, right, _ in bounds) if spaced else 0
    x = float(MARGIN)
    y = MARGIN + wobble - top + (rise if climb > 0 else 0)
    spots = []
    for left, _, right, _ in bounds:
        beside = max(0.0, (widest - (right - left)) / 2)
        spots.append((x + beside - left, y + rng.uniform(-wobble, wobble)))
        x += 2 * beside + max(right - left + gap, 0.3 * (right - left)) or SPACE * font.size
        y -= climb
    width = x - min(gap, 0) + MARGIN
    whole = _drawn(line, spots, font, (int(width) + 1, int(height + 2 * wobble) + 2 * MARGIN + 1))
    return Plane(whole.mask, whole.boxes[len(before) : len(before) + len(text)])


def stack(rng: np.random.Generator, text: str, *, lean: float = 0.0) -> Plane:
    """Typeset a text with stacked characters, in a random typeface, size and spacing.

    Args:
      lean: how far each character is to the right of the one above it, relative to the font size.
    """
    faces = typefaces.that_have(frozenset(text))
    font = typefaces.load(faces[rng.integers(len(faces))], int(rng.integers(24, 49)))
    gap, wobble = rng.uniform(0.02, 0.9) * font.size, rng.uniform(0, 0.05) * font.size
    bounds = [font.getbbox(char, anchor="ls") for char in text]
    widest = max(right - left for left, _, right, _ in bounds)
    y, aside = float(MARGIN), abs(lean) * font.size * (len(text) - 1)
    middle = MARGIN + wobble + widest / 2 + (aside if lean < 0 else 0)
    spots = []
    for left, top, right, bottom in bounds:
        spots.append((middle + rng.uniform(-wobble, wobble) - (left + right) / 2, y - top))
        y += bottom - top + gap
        middle += lean * font.size
    return _drawn(text, spots, font, (int(widest + 2 * wobble + aside) + 2 * MARGIN + 1, int(y - gap) + MARGIN + 1))


def _drawn(
    text: str, spots: Sequence[tuple[float, float]], font: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> Plane:
    """Return a plane of this width and height with each character at its spot: the left end of its baseline."""
    mask, boxes = Image.new("L", size), []
    pen = ImageDraw.Draw(mask)
    for char, (x, y) in zip(text, spots, strict=True):
        pen.text((x, y), char, fill=255, font=font, anchor="ls")
        left, top, right, bottom = font.getbbox(char, anchor="ls")
        boxes.append((x + left, y + top, x + right, y + bottom))
    return Plane(mask, boxes)


@dataclass(frozen=True)
class View:
    """How a plane appears in an image.

    Attributes:
      size: of the image.
      to_plane: the eight coefficients of the projective map from image to plane.
      averaged: the plane is first averaged over squares of this many pixels' side: otherwise a plane that is shrunk to
        less than half its size would lose thin strokes.
    """

    size: tuple[int, int]
    to_plane: tuple[float, ...]
    averaged: int = 1

    def project(self, mask: Image.Image) -> Image.Image:
        """Return a mask of the plane as seen in the image."""
        coefficients = self.to_plane
        if self.averaged > 1:
            mask = mask.reduce(self.averaged)
            coefficients = (*(c / self.averaged for c in coefficients[:6]), *coefficients[6:])
        return mask.transform(self.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)

    def to_image(self, points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """Return the positions of points of the plane, (x, y), in the image, float64 [N, 2]."""
        image = np.linalg.inv(np.array([*self.to_plane, 1.0]).reshape(3, 3))
        seen = np.array([(x, y, 1.0) for x, y in points]) @ image.T
        return seen[:, :2] / seen[:, 2:]

    def project_box(self, box: Box) -> Box:
        """Return the box in the image that encloses a box in the plane, clipped to the image."""
        points = self.to_image([(box[i], box[j]) for i in (0, 2) for j in (1, 3)])
        low, high = (np.clip(edge, 0, self.size) for edge in (points.min(axis=0), points.max(axis=0)))
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def view(rng: np.random.Generator, plane: tuple[int, int]) -> View:
    """Rotate, slant, scale and tilt a plane at random, and leave a random border around it."""
    width, height = plane
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float) - (width / 2, height / 2)
    angle = np.deg2rad(rng.normal(0, 5) if rng.random() < 0.93 else rng.uniform(-30, 30))
    slant, scale = rng.normal(0, 0.1), rng.uniform(0.4, 1.1)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([(cos, -sin), (sin, cos)]) @ np.array([(1, slant), (0, rng.uniform(0.9, 1.3))])
    corners = scale * corners @ turn.T
    corners += rng.uniform(-0.05, 0.05, size=(4, 2)) * scale * height
    low, high = corners.min(axis=0), corners.max(axis=0)
    # Left, top, right, bottom; a negative value cuts into the plane's margin. Some numbers are small in their image.
    reach = 0.8 if rng.random() < 0.2 else 0.35
    border = rng.uniform(-0.12, reach, size=4) * scale * height
    if rng.random() < 0.08:  # far away, in a wide image
        border += rng.uniform(0, 1, size=4) * (2.0, 0.6, 2.0, 0.6) * scale * height
    border = np.maximum(border, -0.6 * scale * MARGIN)
    size = np.maximum(np.ceil(high - low + border[:2] + border[2:]), 8).astype(int)
    return View((int(size[0]), int(size[1])), projective(corners - low + border[:2], plane))


def projective(quad: NDArray[np.float64], plane: tuple[int, int]) -> tuple[float, ...]:
    """Return the map from a quadrilateral's corners to the plane's, as Pillow's coefficients."""
    width, height = plane
    targets = [(0, 0), (width, 0), (width, height), (0, height)]
    rows, values = [], []
    for (x, y), (u, v) in zip(quad, targets, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    return tuple(float(c) for c in np.linalg.solve(np.array(rows), np.array(values)))
