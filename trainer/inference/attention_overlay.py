"""Draw predictions: each image with its answer and where the model looked for each character."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT = 120  # of each image on the sheet, in pixels
WIDEST = 4.0  # the largest aspect ratio, width to height; wider images are squeezed
MARGIN, CAPTION = 8, 26
GLOW, STRENGTH = (255, 120, 0), 0.75  # highlight colour, visible on dark and bright images, and its opacity


@dataclass(frozen=True)
class Look:
    """One image and the model's answer.

    Attributes:
      image: RGB.
      text: the best candidate.
      confidence: of the best candidate, 0-1.
      attention: float32 [T, rows, columns] with T at least the length of `text`, or None.
    """

    image: Image.Image
    text: str
    confidence: float
    attention: np.ndarray | None


def draw(looks: Sequence[Look]) -> Image.Image:
    """Return a sheet with one row per image: the image, its answer, and where the model looked for each character."""
    rows = [_row(look) for look in looks]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _row(look: Look) -> Image.Image:
    width = round(HEIGHT * min(WIDEST, look.image.width / look.image.height)) or 1
    image = look.image.resize((width, HEIGHT), Image.Resampling.BICUBIC)
    tiles = [(image, f"{look.text}  {look.confidence:.1%}")]
    if look.attention is not None:
        tiles += [(_lit(image, at), char) for char, at in zip(look.text, look.attention, strict=False)]
    font = ImageFont.load_default(size=18)
    step = max([width, *(round(font.getlength(caption)) for _, caption in tiles)]) + MARGIN
    row = Image.new("RGB", (MARGIN + step * len(tiles), HEIGHT + CAPTION + MARGIN), "white")
    pen = ImageDraw.Draw(row)
    for i, (tile, caption) in enumerate(tiles):
        row.paste(tile, (MARGIN + i * step, MARGIN))
        pen.text((MARGIN + i * step, MARGIN + HEIGHT), caption, fill="black", font=font)
    return row


def _lit(image: Image.Image, attention: np.ndarray) -> Image.Image:
    """Return the image in grey, highlighted by its attention, float32 [rows, columns]."""
    light = Image.fromarray(attention / max(attention.max(), 1e-9)).resize(image.size, Image.Resampling.BILINEAR)
    mask = Image.fromarray((255 * STRENGTH * np.clip(np.asarray(light), 0.0, 1.0)).astype(np.uint8))
    return Image.composite(Image.new("RGB", image.size, GLOW), image.convert("L").convert("RGB"), mask)
