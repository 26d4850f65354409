"""Choose the part of an image that becomes the training image: the number, its surroundings, or everything."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image, Resampling

from beam_pipelines.sharding.shards import Reject
from trainer.data.formats.records import Box, Corners
from trainer.data.labels import box_corners

FARTHEST = 1e6  # pixels from the origin at which a corner may lie
ENLARGE = 1.3  # factor by which a square around a number is widened


@dataclass(frozen=True)
class CropPolicy:
    """A policy with its settings.

    Attributes:
      policy: `tight`, the square around the number, widened by 1.3, resized to `size` x `size`;
        `context`, the number with a margin on each side, drawn from `context` for each image and side;
        `whole`, the entire image.
      size: pixels, for `tight`.
      max_side: the longest side, in pixels, for the other two; larger images are shrunk, none is enlarged.
      context: the smallest and the largest margin, relative to the number's height.
      seed: determines the margins, together with the key of the image.
    """

    policy: str
    size: int
    max_side: int
    context: tuple[float, float]
    seed: int

    def __call__(self, image: Image, box: Box | None, key: str) -> tuple[Image, Box]:
        """Crop an image.

        Args:
          image: RGB.
          box: of the number, in pixels, or None if unknown; it may extend beyond the image.
          key: of the image.
        Returns:
          The image to store, and the area of `image` that it shows, in pixels.
        Raises:
          Reject: `no-box` if a box is needed, `box-size`, `box-outside`.
        """
        if box is not None:
            _check(box, image.size)
        if self.policy == "whole":
            return self._limited(image), (0.0, 0.0, float(image.width), float(image.height))
        if box is None:
            raise Reject("no-box", f"--crop {self.policy} needs the box of the number")
        if self.policy == "context":
            area = self._with_context(box, image.size, key)
            return self._limited(image.crop(area)), area
        square = _square(box, image.size)
        # Antialiased: bilinear over the area that shrinks to a pixel, in one step from the original.
        return image.resize((self.size, self.size), Resampling.BILINEAR, box=square), square

    def _with_context(self, box: Box, size: tuple[int, int], key: str) -> tuple[int, int, int, int]:
        """Return the area in whole pixels, so that cropping does not change their values."""
        seed = hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=16).digest()
        margins = np.random.default_rng(int.from_bytes(seed, "little")).uniform(*self.context, size=4)
        left, top, right, bottom = (margins * (box[3] - box[1])).tolist()
        return (
            max(0, math.floor(box[0] - left)),
            max(0, math.floor(box[1] - top)),
            min(size[0], math.ceil(box[2] + right)),
            min(size[1], math.ceil(box[3] + bottom)),
        )

    def _limited(self, image: Image) -> Image:
        scale = self.max_side / max(image.size)
        if scale >= 1:
            return image
        width, height = (max(1, round(scale * side)) for side in image.size)
        return image.resize((width, height), Resampling.BILINEAR)  # Pillow antialiases when shrinking


def check_size(box: Box) -> None:
    """Check that a box has a positive, finite size.

    Raises:
      Reject: `box-size`.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise Reject("box-size", f"a box has the size {width:g}x{height:g}")


def check_corners(corners: Corners, size: tuple[int, int]) -> None:
    """Check that corners are in clockwise order, and their area partly inside an image of this width and height.

    Raises:
      Reject: `box-value`, `box-size`, `box-outside`, `box-order`.
    """
    if not all(abs(value) <= FARTHEST for value in corners):  # also if one is not a number
        listed = ", ".join(f"{value:g}" for value in corners)
        raise Reject("box-value", f"a corner lies more than {FARTHEST:,.0f} pixels away: {listed}")
    _check(box_corners.box_around(corners), size)
    points = list(zip(corners[::2], corners[1::2], strict=True)) * 2
    turns = [
        (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)
        for (x0, y0), (x1, y1), (x2, y2) in zip(points[:4], points[1:5], points[2:6], strict=True)
    ]
    if min(turns) < 0 or max(turns) <= 0:
        listed = " ".join(f"{x:g},{y:g}" for x, y in points[:4])
        raise Reject("box-order", f"the corners {listed} do not run clockwise from the upper left of the number")


def _check(box: Box, size: tuple[int, int]) -> None:
    check_size(box)
    width, height = min(box[2], size[0]) - max(box[0], 0), min(box[3], size[1]) - max(box[1], 0)
    if width < 1 or height < 1:
        raise Reject("box-outside", f"less than one pixel of the box {box} is inside the image of {size[0]}x{size[1]}")


def _square(box: Box, size: tuple[int, int]) -> Box:
    """Return the box made square about its centre, widened, and clipped to the image."""
    left, top, right, bottom = box
    half = ENLARGE * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return max(0.0, x - half), max(0.0, y - half), min(float(size[0]), x + half), min(float(size[1]), y + half)
