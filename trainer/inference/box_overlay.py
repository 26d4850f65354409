"""Draw predictions in photos: each number with its box, its text and its confidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

SIDE = 900  # of each photo on the sheet, in pixels, at most
MARGIN = 8
FRAME, INK = (0, 200, 80), (255, 255, 255)


@dataclass(frozen=True)
class Photo:
    """A photo, its width and height in pixels before it was shrunk, and its numbers as in `Answer.numbers`."""

    image: Image.Image
    original: tuple[int, int]
    numbers: Sequence[dict[str, Any]]


def draw(photos: Sequence[Photo]) -> Image.Image:
    """Return a sheet with the photos, one below the other."""
    drawn = [_framed(photo) for photo in photos]
    width = max(image.width for image in drawn) + 2 * MARGIN
    sheet = Image.new("RGB", (width, sum(image.height + MARGIN for image in drawn) + MARGIN), "white")
    top = MARGIN
    for image in drawn:
        sheet.paste(image, (MARGIN, top))
        top += image.height + MARGIN
    return sheet


def _framed(photo: Photo) -> Image.Image:
    """Return a photo of at most `SIDE` pixels with the frames of its numbers."""
    image = photo.image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    scale = image.width / photo.original[0], image.height / photo.original[1]
    pen, line = ImageDraw.Draw(image), max(2, round(max(image.size) / 300))
    font = ImageFont.load_default(size=max(14, round(max(image.size) / 36)))
    for number in photo.numbers:
        xs = [edge * scale[0] for edge in number["box"][::2]]
        ys = [edge * scale[1] for edge in number["box"][1::2]]
        corners = list(zip(xs, ys, strict=True))
        pen.line([*corners, corners[0], corners[1]], fill=FRAME, width=line, joint="curve")
        _write(pen, f"{number['text']}  {number['confidence']:.0%}", (min(xs), min(ys)), image.size, font)
    if not photo.numbers:
        _write(pen, "no number", (0, 0), image.size, font)
    return image


def _write(
    pen: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    size: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write a caption above a frame's top left corner, or inside the image if there is no room above."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = min(max(0, corner[0]), max(0, size[0] - (right - left) - 6))
    y = corner[1] - (bottom - top) - 8
    y = min(max(0, y), size[1] - (bottom - top) - 8)
    pen.rectangle((x, y, x + right - left + 6, y + bottom - top + 8), fill=FRAME)
    pen.text((x + 3 - left, y + 4 - top), text, fill=INK, font=font)
