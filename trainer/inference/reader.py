"""Read numbers from Python: `from trainer import Reader`."""

import base64
import dataclasses
import functools
import io
import itertools
import os
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainer import released
from trainer.cluster import environment
from trainer.data import image_io, image_source
from trainer.data.image_io import ShrunkImage
from trainer.data.image_kinds import UnreadableImage
from trainer.inference import attention_overlay, beam_width, box_overlay, exported_model
from trainer.inference.exported_model import LEAST_CONFIDENCE, Answer

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300  # characters that name an image in an error

ImageLike = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class Number:
    """A number in an image.

    Attributes:
      text: what it reads.
      confidence: the probability that a number is there and its text is right, 0-1.
      box: x and y of its corners in pixels of the upright image, clockwise from the top left as one reads; None if the
        model reads images as a whole.
    """

    text: str
    confidence: float
    box: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Reading:
    """What was read in an image.

    Attributes:
      text: of the most probable number, or the best guess where there is none.
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
        """Return everything but the image, as JSON can hold it."""
        return {
            "text": self.text,
            "confidence": self.confidence,
            "candidates": list(self.candidates),
            "numbers": [{**dataclasses.asdict(n), "box": list(n.box) if n.box else None} for n in self.numbers],
        }

    def draw(self) -> Image.Image:
        """Return the image with each number framed, or with its number as the caption."""
        image = image_io.load(_content(self.source)).image
        found = [dataclasses.asdict(number) for number in self.numbers]
        if found and found[0]["box"] is None:
            return attention_overlay.draw([attention_overlay.Look(image, self.text, self.confidence, None)])
        return box_overlay.draw([box_overlay.Photo(image, image.size, found)])

    def _repr_html_(self) -> str:
        """Return the drawing for a notebook."""
        file = io.BytesIO()
        self.draw().save(file, "PNG")
        return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


class Reader:
    """Reads numbers in images with an exported model. Threads may share one.

    Args:
      model: `released`, `released-fast`, `released-photos`, or a folder written by `trainer.export`, local or `gs://`.
      candidates: how many texts to return; by default what the model was exported with.
    Raises:
      UserError: the model is missing or damaged, or `candidates` is out of range.
    """

    def __init__(self, model: str | os.PathLike[str] = released.NAME, *, candidates: int | None = None) -> None:
        environment.import_tensorflow()
        self.model = exported_model.load(released.folder_of(os.fspath(model)))
        self.beam_width, self.candidates = beam_width.sizes(None, candidates, self.model.info["beam_width"])

    def read(self, image: ImageLike) -> Reading:
        """Read the numbers in an image.

        Args:
          image: the path of an image file, local or `gs://`; the content of one; a Pillow image; or uint8 [H, W],
            [H, W, 3] (RGB) or [H, W, 4] (RGBA).
        Raises:
          FileNotFoundError, OSError: the file does not exist or cannot be read.
          UnreadableImage: it is not an image, or damaged.
          TypeError, ValueError: the object is not an image, or the array has another type or shape.
          UserError: the path is in a store that is not supported.
        """
        [reading] = self.read_all([image])
        return reading

    def read_all(self, images: Iterable[ImageLike], *, batch_size: int = 16) -> Iterator[Reading]:
        """Yield what `read` returns for each of many images, in order; only a batch of them is held at once.

        Raises:
          As `read`.
        """
        remaining = iter(images)
        while batch := list(itertools.islice(remaining, batch_size)):
            shrunk = [self._shrunk(image) for image in batch]
            files = [image_io.encode(one.image, "bmp") for one in shrunk]
            answers = self.model.read(files, beam_width=self.beam_width, candidates=self.candidates)
            for image, one, answer in zip(batch, shrunk, answers, strict=True):
                yield _reading(answer.scaled(one.factors), image)

    def _shrunk(self, image: ImageLike) -> ShrunkImage:
        try:
            return image_io.for_model(io.BytesIO(_content(image)), self.model.image_size)
        except UnreadableImage as error:
            raise UnreadableImage(error.reason, f"{_SHORT.repr(image)}: {error.detail}") from error


def _reading(answer: Answer, source: ImageLike) -> Reading:
    texts = tuple(candidate["text"] for candidate in answer.candidates)
    if answer.numbers is not None:
        numbers = [Number(n["text"], n["confidence"], tuple(n["box"])) for n in answer.numbers]
    elif texts[0] and answer.confidence >= LEAST_CONFIDENCE:
        numbers = [Number(texts[0], answer.confidence)]
    else:
        numbers = []
    return Reading(texts[0], answer.confidence, texts, tuple(numbers), source)


@functools.singledispatch
def _content(image: Any) -> bytes:
    """Return an image file with the pixels of an image of any kind."""
    raise TypeError(f"{type(image).__name__} is not an image: give a path, bytes, a Pillow image or a NumPy array")


@_content.register
def _(image: bytes) -> bytes:
    return image


@_content.register(str)
@_content.register(os.PathLike)
def _(image: str | os.PathLike[str]) -> bytes:
    with image_source.opened(os.fspath(image)) as file:
        return file.read()


@_content.register
def _(image: Image.Image) -> bytes:
    upright = ImageOps.exif_transpose(image)
    transparent = upright.has_transparency_data
    return image_io.encode(upright.convert("RGBA" if transparent else "RGB"), "png" if transparent else "bmp")


@_content.register
def _(image: np.ndarray) -> bytes:
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
        raise ValueError(f"{image.dtype} {list(image.shape)}: give uint8 [H, W], [H, W, 3] or [H, W, 4]")
    return _content(Image.fromarray(image))
