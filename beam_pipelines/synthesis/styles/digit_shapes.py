"""Masks of single digits that no typeface has: seven segments, dot matrices and handwriting."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainer.vocab import DIGITS

FINE = 4  # masks are drawn this many times as large, then averaged

# Corners of the middle lines of the segments, relative to width and height: A at the top, then clockwise, G last.
SEGMENTS = {
    "A": ((0, 0), (1, 0)),
    "B": ((1, 0), (1, 0.5)),
    "C": ((1, 0.5), (1, 1)),
    "D": ((0, 1), (1, 1)),
    "E": ((0, 0.5), (0, 1)),
    "F": ((0, 0), (0, 0.5)),
    "G": ((0, 0.5), (1, 0.5)),
}
# fmt: off
LIT = dict(zip(DIGITS, ("ABCDEF", "BC", "ABGED", "ABGCD", "FGBC", "AFGCD", "AFGECD", "ABC", "ABCDEFG", "ABCDFG"),
               strict=True))
ALSO_LIT = {"6": "FGECD", "7": "ABCF", "9": "ABCFG", "1": "EF"}  # on some displays
DOTS = dict(zip(DIGITS, (
    ("01110", "10001", "10011", "10101", "11001", "10001", "01110"),
    ("00100", "01100", "00100", "00100", "00100", "00100", "01110"),
    ("01110", "10001", "00001", "00010", "00100", "01000", "11111"),
    ("11111", "00010", "00100", "00010", "00001", "10001", "01110"),
    ("00010", "00110", "01010", "10010", "11111", "00010", "00010"),
    ("11111", "10000", "11110", "00001", "00001", "10001", "01110"),
    ("00110", "01000", "10000", "11110", "10001", "10001", "01110"),
    ("11111", "00001", "00010", "00100", "01000", "01000", "01000"),
    ("01110", "10001", "10001", "01110", "10001", "10001", "01110"),
    ("01110", "10001", "10001", "01111", "00001", "00010", "01100"),
), strict=True))
ALSO_DOTS = {
    "0": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "3": ("01110", "10001", "00001", "00110", "00001", "10001", "01110"),
}
# The ways to write a digit: the points that each stroke passes, relative to width and height.
STROKES: dict[str, tuple[tuple[tuple[tuple[float, float], ...], ...], ...]] = {
    "0": ((((.55, 0), (.2, .15), (.05, .55), (.25, .95), (.6, 1), (.92, .6), (.85, .2), (.5, .01)),),),
    "1": ((((.5, 0), (.5, 1)),), (((.25, .25), (.55, 0), (.55, 1)),),
          (((.25, .25), (.55, 0), (.55, 1)), ((.25, 1), (.85, 1)))),
    "2": ((((.1, .25), (.35, .02), (.75, .08), (.82, .35), (.5, .7), (.08, 1)), ((.08, 1), (.95, .97))),
          (((.1, .2), (.45, 0), (.85, .2), (.6, .6), (.2, .95), (.15, .8), (.5, .9), (.95, .98)),)),
    "3": ((((.12, .12), (.5, 0), (.85, .2), (.7, .42), (.4, .48)), ((.4, .48), (.85, .6), (.88, .85), (.5, 1),
           (.08, .88))), (((.1, 0), (.85, 0)), ((.85, 0), (.45, .4)), ((.45, .4), (.85, .55), (.85, .88), (.45, 1),
              (.1, .88)))),
    "4": ((((.6, 0), (.05, .65)), ((.05, .65), (.95, .65)), ((.7, .35), (.68, 1))),
          (((.2, 0), (.12, .5)), ((.12, .5), (.9, .48)), ((.8, .02), (.72, 1)))),
    "5": ((((.85, 0), (.22, 0)), ((.22, 0), (.15, .45)), ((.15, .45), (.5, .36), (.85, .58), (.78, .9), (.4, 1),
       (.08, .88))),),
    "6": ((((.75, 0), (.35, .25), (.12, .7), (.35, 1), (.75, .95), (.88, .7), (.6, .5), (.2, .68)),),),
    "7": ((((.08, .03), (.9, 0)), ((.9, 0), (.6, .5), (.42, 1))),
          (((.08, .03), (.9, 0)), ((.9, 0), (.6, .5), (.42, 1)), ((.3, .52), (.8, .48)))),
    "8": ((((.8, .15), (.5, 0), (.2, .18), (.4, .42), (.75, .65), (.75, .92), (.45, 1), (.15, .85), (.3, .6),
       (.7, .35), (.8, .13)),),),
    "9": ((((.82, .2), (.45, 0), (.15, .2), (.25, .48), (.6, .48), (.82, .2)), ((.82, .15), (.8, .6), (.65, 1))),
          (((.82, .2), (.45, 0), (.15, .2), (.25, .48), (.6, .48), (.82, .2)), ((.82, .15), (.82, .7), (.55, 1),
             (.2, .92)))),
}
# fmt: on


def segments(rng: np.random.Generator, texts: Sequence[str], size: tuple[int, int]) -> list[Image.Image]:
    """Return a mask of this width and height for each text of segments, e.g. `BC`, all of the same display."""
    width, height = (side * FINE for side in size)
    thick = min(rng.uniform(0.1, 0.19) * height, 0.25 * width)
    slant = min(rng.uniform(0, 0.17) * height, 0.22 * width) if rng.random() < 0.7 else 0.0
    across, down = width - thick - slant, height - thick
    gap, pointed = min(rng.uniform(0, 0.35) * thick, 0.1 * across), rng.random() < 0.7
    masks = []
    for names in texts:
        mask = Image.new("L", (width, height))
        for name in names:
            (x0, y0), (x1, y1) = ((thick / 2 + x * across, thick / 2 + y * down) for x, y in SEGMENTS[name])
            shape = _segment((x0, y0), (x1, y1), thick, gap, pointed=pointed)
            leaning = [(x + slant * (1 - y / height), y) for x, y in shape]
            ImageDraw.Draw(mask).polygon(leaning, fill=255)
        masks.append(mask.reduce(FINE))
    return masks


def _segment(
    begin: tuple[float, float], end: tuple[float, float], thick: float, gap: float, *, pointed: bool
) -> list[tuple[float, float]]:
    """Return the corners of a segment along a horizontal or vertical line."""
    one, other = np.array(begin), np.array(end)
    along = (other - one) / np.linalg.norm(other - one)
    aside = along[::-1] * thick / 2
    tip = thick / 2 if pointed else 0.0
    first, last = one + along * gap, other - along * gap
    corners = [
        *(first, first + along * tip + aside, last - along * tip + aside),
        *(last, last - along * tip - aside, first + along * tip - aside),
    ]
    return [(float(x), float(y)) for x, y in corners]


def dots(rng: np.random.Generator, digits: str, size: tuple[int, int]) -> list[Image.Image]:
    """Return a mask of this width and height for each digit, of dots in five columns and seven rows."""
    width, height = (side * FINE for side in size)
    radius, loose = rng.uniform(0.34, 0.62), rng.uniform(0, 0.1)
    tables = {**DOTS, **(ALSO_DOTS if rng.random() < 0.5 else {})}
    masks = []
    for digit in digits:
        mask = Image.new("L", (width, height))
        for row, line in enumerate(tables[digit]):
            for column, dot in enumerate(line):
                x, y = np.array([column + 0.5, row + 0.5]) + rng.normal(0, loose, 2)
                if dot == "1":
                    box = [(x - radius) / 5, (y - radius) / 7, (x + radius) / 5, (y + radius) / 7]
                    ImageDraw.Draw(mask).ellipse(
                        [a * b for a, b in zip(box, (width, height) * 2, strict=True)], fill=255
                    )
        masks.append(mask.reduce(FINE))
    return masks


def handwriting(rng: np.random.Generator, digits: str, size: tuple[int, int]) -> list[Image.Image]:
    """Return a mask of this width and height for each digit, written with the same pen by the same hand."""
    width, height = (side * FINE for side in size)
    pen = max(2, int(rng.uniform(0.05, 0.14) * height))
    shaky, slant = rng.uniform(0.01, 0.06), rng.normal(0, 0.15)
    masks = []
    for digit in digits:
        mask = Image.new("L", (width, height))
        ways = STROKES[digit]
        for stroke in ways[rng.integers(len(ways))]:
            points = np.array(stroke) + rng.normal(0, shaky, (len(stroke), 2))
            points[:, 0] += slant * (0.5 - points[:, 1])
            spots = points * (width - 2 * pen, height - 2 * pen) + pen
            _stroke(ImageDraw.Draw(mask), _smooth(spots), pen)
        masks.append(mask.reduce(FINE))
    return masks


def _stroke(draw: ImageDraw.ImageDraw, points: NDArray[np.float64], pen: int) -> None:
    spots = [(float(x), float(y)) for x, y in points]
    draw.line(spots, fill=255, width=pen, joint="curve")
    for x, y in (spots[0], spots[-1]):
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points of the Catmull-Rom spline through the given ones (Catmull and Rom 1974), float64 [N, 2]."""
    if len(points) < 3:
        return points
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, 8)[:, np.newaxis]
    curves = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        terms = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        curves.append(terms / 2)
    return np.concatenate(curves)
