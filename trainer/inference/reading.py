"""Define what a `Reader` returns, and the kinds of images that it accepts."""

import base64
import dataclasses
import functools
import html
import io
import os
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainer.data.images import image_io, image_source
from trainer.inference import attention_overlay, box_overlay

ImageLike = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Number:
    """A number in an image.

    Attributes:
      text: the number as people write it.
      confidence: the probability that a number is there and its text is correct, 0-1.
      box: x and y of its corners in pixels of the upright image, clockwise from the top left of the text; None if the
        model reads images as a whole.
      candidates: the most probable texts, best first.
      characters: the probability of each character of the text, given those before it; empty for older exports.
    """

    text: str
    confidence: float
    box: tuple[float, ...] | None = None
    candidates: tuple[str, ...] = ()
    characters: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types of JSON."""
        box = list(self.box) if self.box else None
        lists = {"box": box, "candidates": list(self.candidates), "characters": list(self.characters)}
        return {**dataclasses.asdict(self), **lists}


@dataclass(frozen=True)
class Reading:
    """What was read in an image.

    Attributes:
      text: of the most probable number, or the best guess if no number was found.
      confidence: of `text`, as in `Number`.
      candidates: the most probable texts of that number, best first.
      numbers: all numbers with a confidence of at least 20 %, most confident first.
      source: the image, as it was given.
    """

    text: str
    confidence: float
    candidates: tuple[str, ...]
    numbers: tuple[Number, ...]
    source: ImageLike = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the image in types of JSON."""
        return {
            "text": self.text,
            "confidence": self.confidence,
            "candidates": list(self.candidates),
            "numbers": [number.to_dict() for number in self.numbers],
        }

    def draw(self) -> Image.Image:
        """Return the image with each number framed; if the model reads whole images, with the number as caption."""
        image = image_io.load(content_of(self.source)).image
        found = [dataclasses.asdict(number) for number in self.numbers]
        if found and found[0]["box"] is None:
            return attention_overlay.draw([attention_overlay.Look(image, self.text, self.confidence, None)])
        return box_overlay.draw([box_overlay.Photo(image, image.size, found)])

    def _repr_html_(self) -> str:
        """Return the drawing as HTML, for notebooks."""
        file = io.BytesIO()
        self.draw().save(file, "PNG")
        texts = html.escape(", ".join(number.text for number in self.numbers)) or "no number"
        return f'<img alt="{texts}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


@functools.singledispatch
def content_of(image: Any) -> bytes:
    """Return an image file with the pixels of an image of any kind."""
    raise TypeError(f"{type(image).__name__} is not an image: give a path, bytes, a Pillow image or a NumPy array")


@functools.singledispatch
def file_of(image: Any) -> BinaryIO:
    """Return an open image file; a file given by its path is not read into memory, since it may be of any size."""
    return io.BytesIO(content_of(image))


@file_of.register(str)
@file_of.register(os.PathLike)
def _(image: str | os.PathLike[str]) -> BinaryIO:
    return image_source.opened(os.fspath(image))


@content_of.register
def _(image: bytes) -> bytes:
    return image


@content_of.register(str)
@content_of.register(os.PathLike)
def _(image: str | os.PathLike[str]) -> bytes:
    with image_source.opened(os.fspath(image)) as file:
        return file.read()


@content_of.register
def _(image: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(image)
    transparent = upright.has_transparency_data
    return image_io.encode(upright.convert("RGBA" if transparent else "RGB"), "png" if transparent else "bmp")


@content_of.register
def _(image: np.ndarray) -> bytes:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
        raise ValueError(f"{image.dtype} {list(image.shape)}: give uint8 [H, W], [H, W, 3] or [H, W, 4]")
    return content_of(Image.fromarray(image))
