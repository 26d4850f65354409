"""Scenes with a planted shift of style: half as `draw --scene-size` makes them, half with a seven-segment display."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from beam_pipelines.synthesis import texts
from beam_pipelines.synthesis.scenes.scene import Scenes
from trainer.data.labels.box_columns import CORNERS
from trainer.vocab import DIGITS

SIZE = 480  # pixels of the longer side
EMPTY = 0.1  # share of scenes without a number
FINE = 4  # samples per pixel of a display
# The segments of each digit, a to g, clockwise from the top one, g in the middle.
SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
ENDS = {"a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2)}
ENDS |= {"e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1)}  # in half heights of a digit
INKS = ((255, 60, 40), (80, 255, 90), (255, 190, 60), (120, 200, 255))


@dataclass(frozen=True)
class Truth:
    """The number in a scene, empty if there is none, its corners in pixels, and whether it is in the planted style."""

    text: str
    corners: tuple[float, ...]
    shifted: bool


def write(folder: Path, count: int, seed: int) -> dict[str, Truth]:
    """Write scenes with one number or none as PNG files with a `labels.csv`, unless it is there; return the truth."""
    if (folder / "labels.csv").exists():
        return _read(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    numbers = texts.from_options("house", "uniform", max_digits=4, alphabet=DIGITS)
    plain, blank = Scenes(seed, numbers, SIZE, EMPTY), Scenes(seed + 1, numbers, SIZE, 1.0)
    truths: dict[str, Truth] = {}
    index = 0
    while len(truths) < count:
        index += 1
        name, shifted = f"{seed}-{len(truths):04d}.png", len(truths) % 2 == 1
        if shifted:
            image = blank(index).image
            truth = _display(np.random.default_rng([seed, index]), image)
        else:
            scene = plain(index)
            if len(scene.numbers) > 1:
                continue
            image = scene.image
            corners = [np.array(one.corners).reshape(4, 2) * image.size for one in scene.numbers]
            truth = Truth(scene.numbers[0].text if corners else "", _flat(corners[0]) if corners else (), False)
        image.save(folder / "images" / name)
        truths[name] = truth
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", *CORNERS])
        for name, truth in truths.items():
            writer.writerow([name, truth.text, *(truth.corners or [""] * 8)])
    return truths


def _read(folder: Path) -> dict[str, Truth]:
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    corners = [tuple(float(row[name]) for name in CORNERS if row[name]) for row in rows]
    return {row["file"]: Truth(row["label"], corners[i], i % 2 == 1) for i, row in enumerate(rows)}


def _display(rng: np.random.Generator, image: Image.Image) -> Truth:
    """Put a display with one to four digits into an image."""
    text = "".join(rng.choice(list(DIGITS), int(rng.integers(1, 5))))
    height = float(rng.uniform(28, 80)) * FINE
    panel, margin = _panel(rng, text, height)
    right, bottom = panel.width - margin, panel.height - margin
    corners = np.array([(margin, margin), (right, margin), (right, bottom), (margin, bottom)])
    angle = float(rng.uniform(-8, 8))
    turned = panel.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    corners = (corners - np.array(panel.size) / 2) @ rotation.T + np.array(turned.size) / 2
    shrunk = max(FINE, *(1.05 * side / room for side, room in zip(turned.size, image.size, strict=True)))
    small = turned.resize((round(turned.width / shrunk), round(turned.height / shrunk)), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0))))
    spot = [int(rng.integers(0, max(1, room))) for room in (image.width - small.width, image.height - small.height)]
    image.paste(small, (spot[0], spot[1]), small)
    return Truth(text, _flat(corners / shrunk + spot), True)


def _panel(rng: np.random.Generator, text: str, height: float) -> tuple[Image.Image, float]:
    """Return a display, and how wide its border is; segments that are off shine through."""
    width, gap, pen = 0.5 * height, 0.3 * height, int(height * rng.uniform(0.08, 0.13))
    margin = 0.45 * height
    size = (round(len(text) * (width + gap) - gap + 2 * margin), round(height + 2 * margin))
    ground = int(rng.integers(8, 40))
    panel = Image.new("RGBA", size, (ground, ground + 4, ground, 255))
    draw, ink, ghost = ImageDraw.Draw(panel), INKS[rng.integers(len(INKS))], rng.uniform(0.1, 0.3)
    red, green, blue = ink
    dim = tuple(int(ground + (channel - ground) * ghost) for channel in (red, green, blue))
    for place, digit in enumerate(text):
        lit, left = SEGMENTS[int(digit)], margin + place * (width + gap)
        for name in sorted(ENDS, key=lambda name: name in lit):
            x0, y0, x1, y1 = ENDS[name]
            across, down = np.sign(x1 - x0) * pen * 0.7, np.sign(y1 - y0) * pen * 0.7
            begin = (left + x0 * width + across, margin + y0 * height / 2 + down)
            end = (left + x1 * width - across, margin + y1 * height / 2 - down)
            draw.line([begin, end], fill=ink if name in lit else dim, width=pen)
    return panel, margin


def _flat(corners: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(corners, 1).ravel())
