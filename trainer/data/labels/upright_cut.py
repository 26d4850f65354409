"""Cut a number out of a photo, rotated upright, with its surroundings."""

import math

import numpy as np
from PIL import Image

from trainer.data.labels import box_corners
from trainer.data.labels.box_corners import Corners

LEAST = 8  # pixels of a side


def widened(corners: Corners, margin: float) -> Corners:
    """Return the corners of a box with a margin on each side, given relative to the box's shorter side."""
    points = np.array(corners, float).reshape(4, 2)
    across, down = points[1] - points[0], points[3] - points[0]
    sides = np.maximum([np.linalg.norm(across), np.linalg.norm(down)], 1e-6)
    right, below = across / sides[0] * sides.min() * margin, down / sides[1] * sides.min() * margin
    moved = points + np.array([-right - below, right - below, right + below, below - right])
    return box_corners.of_values(moved.ravel().tolist())


def cut(image: Image.Image, corners: Corners, *, most: int, least: int = LEAST) -> Image.Image:
    """Cut the area within corners out of an image; beyond its border, the nearest pixel is repeated.

    Args:
      image: RGB.
      corners: x and y in pixels, clockwise from what becomes the top left corner.
      most, least: bounds of the longer side of the result in pixels; in between, it has the size of the original.
    """
    points = np.array(corners, float).reshape(4, 2)
    width, height = (math.dist(points[index], points[0]) for index in (1, 3))
    longer = max(width, height, 1e-6)
    scale = min(max(longer, least), most) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    around = _around(image, points)
    nearer, shrunk = _shrunk(around[0], min(1.0, scale))
    quad = ((points - around[1]) * shrunk)[[0, 3, 2, 1]].ravel().tolist()  # Pillow takes them counter-clockwise
    return nearer.transform(size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)


def _around(image: Image.Image, points: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Return the upright part of an image around points, its border repeated, and its top left corner."""
    left, top = (math.floor(value) - 2 for value in points.min(axis=0))
    right, bottom = (math.ceil(value) + 2 for value in points.max(axis=0))
    inside = (
        min(max(left, 0), image.width - 1),
        min(max(top, 0), image.height - 1),
        max(min(right, image.width), min(max(left, 0), image.width - 1) + 1),
        max(min(bottom, image.height), min(max(top, 0), image.height - 1) + 1),
    )
    pixels = np.asarray(image.crop(inside))
    pads = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0))
    padded = np.pad(pixels, [(max(0, before), max(0, after)) for before, after in pads], mode="edge")
    return Image.fromarray(padded), np.array([min(left, inside[0]), min(top, inside[1])], float)


def _shrunk(image: Image.Image, scale: float) -> tuple[Image.Image, np.ndarray]:
    """Return an image shrunk with antialiasing, which Pillow's transforms lack, and the exact factors."""
    size = tuple(max(1, round(side * scale)) for side in image.size)
    small = image.resize((size[0], size[1]), Image.Resampling.BOX) if scale < 1 else image
    return small, np.array(small.size) / np.array(image.size)
