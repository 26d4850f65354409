"""Add to a scene what is not a number: words, bars, panes, rings, logos, and pieces of other photos."""

import numpy as np
from PIL import Image, ImageDraw

from beam_pipelines.synthesis.scenes import backdrop, placing
from beam_pipelines.synthesis.scenes.placing import Places

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# fmt: off
WORDS = (
    "street", "road", "avenue", "lane", "drive", "court", "house", "flat", "apartments", "villa", "cottage", "the",
    "private", "parking", "entrance", "exit", "open", "closed", "push", "pull", "no", "smoking", "please", "ring",
    "bell", "welcome", "home", "post", "mail", "office", "family", "sale", "hotel", "cafe", "bar", "pizza", "taxi",
    "rue", "calle", "strasse", "weg", "platz", "via", "reserved", "keep", "out", "beware", "of", "dog", "alarm",
    "security", "taylor", "smith", "green", "park", "hill",
)
# fmt: on


def text(rng: np.random.Generator) -> str:
    """Return a word, a few words, initials or random letters."""
    kind = rng.random()
    if kind < 0.3:
        count = int(rng.integers(1, 8))
        return "".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), count))
    words = [WORDS[rng.integers(len(WORDS))] for _ in range(rng.integers(1, 4))]
    style = str.upper if rng.random() < 0.5 else str.title
    return style(" ".join(words))


def shape(rng: np.random.Generator, canvas: Image.Image, places: Places) -> None:
    """Draw bars like those of a fence, a grid like that of bricks or panes, a ring, or a logo of a few shapes."""
    low = 0.05 * min(places.size)
    width, height = np.exp(rng.uniform(np.log(low), np.log(0.7 * min(places.size)), 2))
    spot = places.take(rng, (int(width), int(height)))
    if spot is None:
        return
    patch = canvas.crop((*spot, spot[0] + int(width), spot[1] + int(height)))  # lines end at its edges
    pen = ImageDraw.Draw(patch)
    line = max(1, int(rng.uniform(0.02, 0.15) * min(width, height)))
    colour, other = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(2))
    kind = rng.integers(5)
    if kind < 2:
        step = max(2 * line, int(rng.uniform(0.06, 0.25) * width))
        for at in range(0, int(width), step):
            pen.line((at, 0, at, height), fill=colour, width=line)
        if kind == 1:
            step = max(2 * line, int(rng.uniform(0.06, 0.4) * height))
            for at in range(0, int(height), step):
                pen.line((0, at, width, at), fill=colour, width=line)
    elif kind == 2:
        pen.ellipse((0, 0, width - 1, height - 1), outline=colour, width=line)
    elif kind == 3:
        _scrolls(rng, pen, (width, height), colour, line)
    else:
        pen.rounded_rectangle((0, 0, width - 1, height - 1), radius=0.2 * min(width, height), fill=colour)
        points = rng.uniform(0.1, 0.9, (int(rng.integers(3, 7)), 2)) * (width, height)
        pen.polygon([tuple(p) for p in points], fill=other)
    canvas.paste(patch, spot)


def _scrolls(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, size: tuple[float, float], colour: tuple[int, ...], line: int
) -> None:
    """Draw spirals side by side, mirrored in turn, as in wrought iron: their curves resemble those of digits."""
    count = max(1, min(8, round(size[0] / size[1] * rng.uniform(0.6, 1.6))))
    turns = rng.uniform(0.6, 2.2)
    steps = np.linspace(0.1, 1, 40)
    angles = steps * turns * 2 * np.pi + rng.uniform(0, 2 * np.pi)
    reach = np.array([size[0] / count, size[1]]) / 2 - line
    curve = np.stack([np.cos(angles), np.sin(angles)], axis=1) * steps[:, np.newaxis] * np.maximum(reach, 1)
    for i in range(count):
        middle = ((i + 0.5) * size[0] / count, size[1] / 2)
        pen.line([tuple(p) for p in curve * (1 - 2 * (i % 2), 1) + middle], fill=colour, width=line, joint="curve")


def piece(rng: np.random.Generator, canvas: Image.Image, places: Places, photos: tuple[bytes, ...]) -> None:
    """Paste a piece of another photo without a number, so that pasted edges do not imply a number."""
    other = backdrop.draw(rng, photos, 64)
    width, height = (int(rng.integers(12, max(13, side))) for side in other.size)
    size = placing.height(rng, places.size, tallest=0.4) / height
    placing.paste(rng, canvas, places, other.crop((0, 0, width, height)), size)
