"""Make the images that the page shows of a row: the upright number with its surroundings, or the whole image."""

import math
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.images import image_io
from trainer.data.labels import box_corners, upright_cut
from trainer.data.labels.box_corners import Corners
from trainer.reviewing.predictions import Row

SIDE = 1400  # pixels of the longer side, at most
CUT_SIDE = 900  # pixels of the longer side to which small cuts are enlarged
AROUND = 0.9  # margin around a number, relative to the shorter side of its box
FRAME = 0.06  # distance of the frame from the number, likewise relative
MOST_CUT = 0.5  # of the image; if the box is larger, the whole image is shown
INKS = ((0, 0, 0), (64, 255, 128))  # dark under light, to be visible on any background


class View(NamedTuple):
    """The image to show, and the width and height of the upright original."""

    image: Image.Image
    original: tuple[int, int]


def cut(row: Row, file: BinaryIO) -> View:
    """Return the part of an image that contains the number of a row; the whole image if the row has no box.

    Raises:
      UnreadableImage: it cannot be decoded.
    """
    image = image_io.load_file(file).image
    if row.box is None or not _is_sound(row.box, image.size):
        return View(_limited(image), image.size)
    box = box_corners.of_values(row.box)
    if abs(box_corners.area(box)) > MOST_CUT * image.width * image.height:
        return View(_whole(image, row), image.size)
    area = upright_cut.widened(box, AROUND)
    shown = upright_cut.cut(image, area, most=SIDE, least=CUT_SIDE)
    side = min(math.dist(box[0:2], box[2:4]), math.dist(box[0:2], box[6:8]))
    width = math.dist(area[0:2], area[2:4])
    inset = (AROUND - FRAME) * side * shown.width / max(width, 1e-6)
    left, top, right, bottom = inset, inset, shown.width - inset, shown.height - inset
    _frame(shown, (left, top, right, top, right, bottom, left, bottom))
    return View(shown, image.size)


def whole(row: Row, file: BinaryIO) -> View:
    """Return the whole image with a frame around the number of a row.

    Raises:
      UnreadableImage: it cannot be decoded.
    """
    image = image_io.load_file(file).image
    return View(_whole(image, row), image.size)


def _whole(image: Image.Image, row: Row) -> Image.Image:
    shown = _limited(image)
    if row.box is not None and _is_sound(row.box, image.size):
        scale = shown.width / image.width, shown.height / image.height
        framed = upright_cut.widened(box_corners.of_values(row.box), FRAME)
        _frame(shown, box_corners.of_values(value * scale[i % 2] for i, value in enumerate(framed)))
    return shown


def _limited(image: Image.Image) -> Image.Image:
    shown = image.copy()
    shown.thumbnail((SIDE, SIDE))
    return shown


def _is_sound(box: tuple[float, ...], size: tuple[int, int]) -> bool:
    """Return whether a box is at most a few times larger than the image, so that cutting it out needs little memory."""
    return bool(np.isfinite(box).all() and np.abs(box).max() <= 4 * max(size))


def _frame(image: Image.Image, corners: Corners) -> None:
    points = list(zip(corners[::2], corners[1::2], strict=True))
    pen, line = ImageDraw.Draw(image), max(2, round(max(image.size) / 250))
    for ink, width in zip(INKS, (line + 2, line), strict=True):
        pen.line([*points, points[0], points[1]], fill=ink, width=width, joint="curve")
