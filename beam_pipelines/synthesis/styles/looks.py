"""What numbers look like in each style: displays, printed codes, counters, plates, bibs, handwriting."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from beam_pipelines.synthesis import glyphs
from beam_pipelines.synthesis.scenes import distractors
from beam_pipelines.synthesis.styles import digit_shapes, flat
from beam_pipelines.synthesis.styles.flat import HEIGHT, Flat, Look
from beam_pipelines.synthesis.surfaces import near
from trainer.data.formats.records import Box

LIGHTS = ((255, 60, 50), (255, 60, 50), (90, 255, 110), (90, 190, 255), (255, 190, 70), (240, 245, 255))
CRYSTAL = ((150, 165, 140), (175, 185, 165), (190, 195, 200), (120, 150, 190), (200, 205, 190))  # of LCDs
GHOSTS = 0.5  # share of liquid crystals whose unlit segments are visible
ROLLING = 0.6  # share of counters whose last drum is between two digits
ROLLED_MOST = 0.3  # of the height of a digit


def segment(rng: np.random.Generator, text: str) -> Flat:
    """Draw a seven-segment display, with lights or liquid crystals."""
    size = int(HEIGHT * rng.uniform(0.45, 0.68)), HEIGHT
    swapped = digit_shapes.ALSO_LIT if rng.random() < 0.15 else {}
    lit = [swapped.get(digit, digit_shapes.LIT[digit]) for digit in text]
    masks = digit_shapes.segments(rng, [*lit, "ABCDEFG"], size)
    gaps = [rng.uniform(0.08, 0.4) * HEIGHT] * len(text)
    margin = int(rng.uniform(0.15, 0.7) * HEIGHT), int(rng.uniform(0.12, 0.5) * HEIGHT)
    mask, boxes = flat.row(masks[:-1], gaps, margin)
    unlit, _ = flat.row(masks[-1:] * len(text), gaps, margin)
    if rng.random() < 0.5:
        image = flat.ground(rng, mask.size, near(rng, (25, 18, 18), 18))
        image.paste(near(rng, (45, 32, 32), 12), mask=unlit.point(lambda value: value * 0.5))
        flat.glow(image, mask, near(rng, LIGHTS[rng.integers(len(LIGHTS))], 25), rng.uniform(0.5, 4))
    else:
        back = near(rng, CRYSTAL[rng.integers(len(CRYSTAL))], 25)
        ink = near(rng, (35, 40, 40), 30)
        image = flat.ground(rng, mask.size, back)
        if rng.random() < GHOSTS:
            strength = rng.uniform(0.03, 0.16)
            image.paste(ink, mask=unlit.point(lambda value: value * strength))
        image.paste(ink, mask=mask)
    return _framed(rng, image, boxes)


def dots(rng: np.random.Generator, text: str) -> Flat:
    """Draw a number of separate dots: an ink-jet code on a package, or a display of lamps."""
    size = int(HEIGHT * rng.uniform(0.5, 0.75)), HEIGHT
    masks = digit_shapes.dots(rng, text, size)
    gaps = [rng.uniform(0.08, 0.3) * HEIGHT] * len(text)
    margin = int(rng.uniform(0.2, 1.2) * HEIGHT), int(rng.uniform(0.2, 0.9) * HEIGHT)
    mask, boxes = flat.row(masks, gaps, margin)
    if rng.random() < 0.25:
        image = flat.ground(rng, mask.size, near(rng, (22, 22, 24), 18))
        flat.glow(image, mask, near(rng, LIGHTS[rng.integers(len(LIGHTS))], 25), rng.uniform(0.4, 2))
        return _framed(rng, image, boxes)
    light = rng.random() < 0.75
    image = flat.ground(rng, mask.size, flat.random_colour(rng, 130, 245) if light else flat.random_colour(rng, 0, 110))
    ink = near(rng, (30, 30, 38), 30) if light else near(rng, (225, 225, 220), 25)
    image.paste(ink, mask=mask.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7))))
    return Flat(image, Image.new("L", image.size, 255), tuple(boxes))


def counter(rng: np.random.Generator, text: str) -> Flat:
    """Draw the drums of a mechanical counter, each digit in a window; the last one may be between two digits."""
    face = flat.font(rng, "0123456789", int(HEIGHT * rng.uniform(0.95, 1.35)), bold=rng.random() < 0.5)
    widest = max(face.getlength(digit) for digit in "0123456789")
    width, height = int(widest * rng.uniform(1.2, 1.8)), int(HEIGHT * rng.uniform(1.2, 1.6))
    gap, margin = int(rng.uniform(1, 0.4 * HEIGHT)), int(rng.uniform(3, 14))
    image = flat.ground(rng, (len(text) * (width + gap) - gap + 2 * margin, height + 2 * margin), _casing(rng))
    dark = rng.random() < 0.75
    drum, ink = ((20, 20, 22), (235, 235, 230)) if dark else ((230, 230, 225), (25, 25, 28))
    red = len(text) - int(rng.integers(0, min(3, len(text)))) if rng.random() < 0.4 else len(text)
    pitch = rng.uniform(1.15, 1.5) * HEIGHT
    boxes = []
    for position, digit in enumerate(text):
        rolled = rng.uniform(-ROLLED_MOST, ROLLED_MOST) if position == len(text) - 1 and rng.random() < ROLLING else 0.0
        shift = (rolled + rng.normal(0, 0.03)) * HEIGHT
        colours = (near(rng, (180, 30, 30), 20), (240, 235, 230)) if position >= red else (drum, ink)
        window = flat.ground(rng, (width, height), near(rng, colours[0], 8))
        for turn in (-1, 0, 1):
            centre = width / 2, height / 2 + shift + turn * pitch
            shown = flat.word_mask(window.size, str((int(digit) + turn) % 10), face, centre)
            window.paste(colours[1], mask=shown)
            if turn == 0:
                left, top, right, bottom = shown.getbbox() or (0, 0, width, height)
        x = margin + position * (width + gap)
        image.paste(window, (x, margin))
        boxes.append((float(x + left), float(margin + top), float(x + right), float(margin + bottom)))
    return _framed(rng, image, boxes)


def _casing(rng: np.random.Generator) -> tuple[int, ...]:
    return near(rng, ((30, 30, 32), (200, 200, 195), (120, 125, 130), (60, 60, 90))[rng.integers(4)], 20)


def plate(rng: np.random.Generator, text: str) -> Flat:
    """Draw a plate with a frame, as on a vehicle: bold characters of one height."""
    kinds = (
        ((235, 235, 232), (20, 20, 25)),
        ((240, 200, 40), (20, 20, 20)),
        ((25, 60, 150), (240, 240, 240)),
        ((20, 110, 60), (240, 240, 240)),
        ((25, 25, 28), (225, 225, 220)),
    )
    back, ink = kinds[rng.choice(len(kinds), p=(0.55, 0.2, 0.1, 0.08, 0.07))]
    return _lettered(rng, text, near(rng, back, 20), near(rng, ink, 20), room=(0.15, 0.6), framed=True)


def bib(rng: np.random.Generator, text: str) -> Flat:
    """Draw a bib of a runner, or a jersey: large digits, words above or below, folds in the cloth."""
    paper = rng.random() < 0.6
    back = near(rng, (235, 235, 235), 20) if paper else flat.random_colour(rng)
    level = sum(back) / 3
    ink = (
        flat.random_colour(rng, 0, int(max(0, level - 90))) if level > 128 else flat.random_colour(rng, int(level) + 90)
    )
    made = _lettered(rng, text, back, ink, room=(0.4, 1.2), framed=False)
    image = made.image
    for edge in (0.0, 1.0):
        if rng.random() < 0.4:
            face = flat.font(rng, "A", int(HEIGHT * rng.uniform(0.2, 0.4)), bold=False)
            spot = image.width * rng.uniform(0.3, 0.7), abs(edge * image.height - 0.25 * HEIGHT)
            image.paste(flat.random_colour(rng), mask=flat.word_mask(image.size, distractors.text(rng), face, spot))
    folds = Image.fromarray(rng.normal(1, rng.uniform(0, 0.2), (3, 7)).astype(np.float32))
    factors = np.asarray(folds.resize(image.size, Image.Resampling.BICUBIC))[..., np.newaxis]
    folded = Image.fromarray(np.clip(np.asarray(image, np.float32) * factors, 0, 255).astype(np.uint8))
    return Flat(folded, made.shape, made.boxes)


def _lettered(
    rng: np.random.Generator,
    text: str,
    back: tuple[int, ...],
    ink: tuple[int, ...],
    *,
    room: tuple[float, float],
    framed: bool,
) -> Flat:
    face = flat.font(rng, text, int(HEIGHT * rng.uniform(1.0, 1.4)), bold=rng.random() < 0.75)
    bounds = [face.getbbox(character, anchor="ls") for character in text]
    top, bottom = min(b[1] for b in bounds), max(b[3] for b in bounds)
    narrow = rng.uniform(0.65, 1.1)
    masks = []
    for character, (left, _, right, _) in zip(text, bounds, strict=True):
        mask = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
        ImageDraw.Draw(mask).text((-left, -top), character, fill=255, font=face, anchor="ls")
        masks.append(mask.resize((max(2, int(mask.width * narrow)), mask.height), Image.Resampling.BILINEAR))
    gap = rng.uniform(0.03, 0.3) * HEIGHT
    gaps = [gap + (rng.uniform(0.2, 0.8) * HEIGHT if rng.random() < 0.08 else 0.0) for _ in text]
    beside, above = (int(rng.uniform(*room) * HEIGHT) for _ in range(2))
    mask, boxes = flat.row(masks, gaps, (beside, above))
    image = flat.ground(rng, mask.size, back)
    if rng.random() < 0.25:
        outline = flat.random_colour(rng)
        image.paste(outline, mask=mask.filter(ImageFilter.MaxFilter(5)))
    image.paste(ink, mask=mask)
    if framed:
        return _framed(rng, image, boxes, ink)
    return Flat(image, Image.new("L", image.size, 255), tuple(boxes))


def handwritten(rng: np.random.Generator, text: str) -> Flat:
    """Draw a number written by hand on paper or a board."""
    size = int(HEIGHT * rng.uniform(0.5, 0.85)), HEIGHT
    masks = []
    for mask in digit_shapes.handwriting(rng, text, size):
        scale = rng.uniform(0.8, 1.0)
        small = mask.resize((int(size[0] * scale), int(HEIGHT * scale)), Image.Resampling.BILINEAR)
        cell = Image.new("L", (small.width, HEIGHT))
        cell.paste(small, (0, int(rng.uniform(0, HEIGHT - small.height + 1))))
        masks.append(cell)
    gaps = [rng.uniform(-0.1, 0.3) * HEIGHT for _ in text]
    mask, boxes = flat.row(masks, [max(gap, 0.0) for gap in gaps], (glyphs.MARGIN, int(rng.uniform(4, 18))))
    board = rng.random() < 0.15
    image = flat.ground(rng, mask.size, near(rng, (40, 60, 50) if board else (230, 228, 220), 25))
    ink = (235, 235, 230) if board else ((30, 40, 110), (25, 25, 30), (150, 30, 35))[rng.integers(3)]
    if rng.random() < 0.3:
        pen, colour = ImageDraw.Draw(image), near(rng, (150, 160, 190), 40)
        step = int(rng.uniform(8, 30))
        for y in range(int(rng.integers(step)), image.height, step):
            pen.line([(0, y), (image.width, y)], fill=colour)
    image.paste(near(rng, ink, 15), mask=mask)
    return Flat(image, Image.new("L", image.size, 255), tuple(boxes))


def _framed(rng: np.random.Generator, image: Image.Image, boxes: list[Box], colour: tuple[int, ...] = ()) -> Flat:
    """Return the object with rounded corners, often with a frame."""
    radius, box = int(rng.integers(0, 9)), (0, 0, image.width - 1, image.height - 1)
    shape = Image.new("L", image.size)
    ImageDraw.Draw(shape).rounded_rectangle(box, radius, fill=255)
    if rng.random() < 0.6:
        line = int(rng.integers(1, 4))
        ImageDraw.Draw(image).rounded_rectangle(box, radius, outline=colour or _casing(rng), width=line)
    return Flat(image, shape, tuple(boxes))


@dataclass(frozen=True)
class Style:
    """How a style looks, and whether it can show digits only."""

    look: Look
    digits_only: bool


LOOKS = {
    "bib": Style(bib, digits_only=False),
    "counter": Style(counter, digits_only=True),
    "dots": Style(dots, digits_only=True),
    "handwritten": Style(handwritten, digits_only=True),
    "plate": Style(plate, digits_only=False),
    "segment": Style(segment, digits_only=True),
}
