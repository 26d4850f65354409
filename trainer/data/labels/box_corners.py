"""Boxes and the corners of oriented boxes: x and y of each corner, clockwise from the top left in an image."""

from collections.abc import Iterable

Box = tuple[float, float, float, float]  # left, top, right, bottom
Corners = tuple[float, float, float, float, float, float, float, float]


def of_box(box: Box) -> Corners:
    """Return the corners of an upright box."""
    left, top, right, bottom = box
    return left, top, right, top, right, bottom, left, bottom


def of_values(values: Iterable[float]) -> Corners:
    """Return eight values as corners.

    Raises:
      ValueError: there are fewer or more than eight.
    """
    x0, y0, x1, y1, x2, y2, x3, y3 = values
    return x0, y0, x1, y1, x2, y2, x3, y3


def box_around(corners: Corners) -> Box:
    """Return the smallest upright box around corners, which may reach beyond the image."""
    return min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])


def area(corners: Corners) -> float:
    """Return the area within corners by the shoelace formula: positive if they are in clockwise order in an image."""
    points = list(zip(corners[::2], corners[1::2], strict=True))
    return sum(x * v - u * y for (x, y), (u, v) in zip(points, points[1:] + points[:1], strict=True)) / 2


def turned(corners: Corners, *, clockwise: bool) -> Corners:
    """Return relative corners, 0-1, in an image that was rotated by 90 degrees."""
    points = zip(corners[::2], corners[1::2], strict=True)
    return of_values(c for x, y in points for c in ((1 - y, x) if clockwise else (y, 1 - x)))


def relative(corners: Corners, crop: Box) -> Corners:
    """Return corners relative to a crop, 0-1 within it; they are not clipped, so that a rotated box keeps its shape."""
    origin, size = crop[:2], (crop[2] - crop[0], crop[3] - crop[1])
    return of_values((c - origin[i % 2]) / size[i % 2] for i, c in enumerate(corners))
