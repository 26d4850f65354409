"""Read numbers from Python: `from trainer import Reader`."""

import os
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from trainer import progress, released
from trainer.data.images import image_io
from trainer.data.images.image_kinds import UnreadableImage
from trainer.data.labels import labelled_folder
from trainer.data.labels.labelled_folder import LabelledFile
from trainer.data.pipeline import batches
from trainer.inference.decoding import beam_width
from trainer.inference.evaluating import folder_evaluation
from trainer.inference.evaluating.folder_evaluation import FolderEvaluation, Judged
from trainer.inference.exports import any_model, exported_model
from trainer.inference.exports.exported_model import LEAST_CONFIDENCE, Answer
from trainer.inference.reading import ImageLike, Number, Reading, file_of

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300  # characters that name an image in an error
BATCH = 16  # images


class Prepared(NamedTuple):
    """An image as given, its encoded content for the model, and how many times wider and higher the original is."""

    source: ImageLike
    file: bytes
    factors: tuple[float, float]


class Reader:
    """Reads numbers in images with an exported model. Threads may share one.

    Args:
      model: `released`, `released-fast`, `released-photos`, `free`, or a folder written by `trainer.export` or
        `trainer.train`, local or `gs://`.
      candidates: how many texts to return; by default what the model was exported with.
      engine: what computes, `onnx` or `tensorflow`, see `any_model.load`.
      precision: for TensorFlow, `auto` to compute in bfloat16 on a CPU with instructions for it.
    Raises:
      UserError: the model is missing, damaged or not usable with the engine, its bucket does not answer, or
        `candidates` is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = released.DEFAULT,
        *,
        candidates: int | None = None,
        engine: Literal["onnx", "tensorflow"] | None = None,
        precision: Literal["auto", "float32"] = "float32",
    ) -> None:
        self.model = any_model.load(os.fspath(model), engine, precision)
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
          UserError: the path is in a store that is not supported, or its bucket does not answer.
        """
        [reading] = self.read_all([image])
        return reading

    def read_all(self, images: Iterable[ImageLike], *, batch_size: int = BATCH) -> Iterator[Reading]:
        """Yield what `read` returns for each of many images, in order; only a batch of them is held at once.

        It raises what `read` raises, at the batch that holds the image.
        """
        for batch in batches.of(map(self._named, images), batch_size, lambda image: len(image.file)):
            yield from self.read_prepared(batch)

    def prepare(self, image: ImageLike) -> Prepared:
        """Decode an image for `read_prepared`; any number of threads may do so at once.

        Raises:
          As `read`.
        """
        with file_of(image) as file:
            shrunk = image_io.for_model(file, exported_model.input_of(self.model.info))
            return Prepared(image, image_io.encode(shrunk.image, "bmp"), shrunk.factors)

    def read_prepared(self, images: Sequence[Prepared]) -> list[Reading]:
        """Read decoded images together."""
        files = [image.file for image in images]
        answers = self.model.read(files, beam_width=self.beam_width, candidates=self.candidates)
        return [
            _reading(answer.scaled(image.factors), image.source) for image, answer in zip(images, answers, strict=True)
        ]

    def evaluate(
        self,
        folder: str | os.PathLike[str],
        *,
        split: str | None = None,
        images: str | os.PathLike[str] | None = None,
    ) -> FolderEvaluation:
        """Read the labelled images of a folder, and measure how well they are read.

        Args:
          folder: images with a `labels.csv` or with labels as their names, see `labelled_folder.read`.
          split: use only the rows of `labels.csv` with this value in its column `split`.
          images: the folder that contains the images which `labels.csv` lists, if it is not `folder`.
        Raises:
          UserError: the folder does not exist or has no images, an image has no label or is outside the folder, or none
            can be read.
        """
        unread: dict[str, str] = {}
        judged: list[Judged] = []
        place = None if images is None else os.fspath(images)
        files = labelled_folder.read(os.fspath(folder), self.model.info["alphabet"], split, place)
        remaining = self._labelled(files, unread)
        with progress.bar("evaluating", len(files), unit="image", lines=True) as show:
            for batch in batches.of(remaining, BATCH, lambda one: len(one[1].file)):
                readings = self.read_prepared([prepared for _, prepared in batch])
                judged += [
                    Judged(file.path, file.texts, reading) for (file, _), reading in zip(batch, readings, strict=True)
                ]
                show(len(judged) + len(unread))
        return folder_evaluation.measure(os.fspath(folder), judged, unread)

    def _labelled(self, files: list[LabelledFile], unread: dict[str, str]) -> Iterator[tuple[LabelledFile, Prepared]]:
        """Yield the files that can be read; add to `unread`, by path, why the others cannot."""
        for file in files:
            try:
                yield file, self.prepare(file.path)
            except UnreadableImage as error:
                unread[file.path] = error.detail
            except OSError as error:
                unread[file.path] = error.strerror or str(error)

    def _named(self, image: ImageLike) -> Prepared:
        """Return what `prepare` does, with the name of the image in its error."""
        try:
            return self.prepare(image)
        except UnreadableImage as error:
            raise UnreadableImage(error.reason, f"{_SHORT.repr(image)}: {error.detail}") from error


def _reading(answer: Answer, source: ImageLike) -> Reading:
    texts = tuple(candidate["text"] for candidate in answer.candidates)
    if answer.numbers is not None:
        numbers = [
            Number(n["text"], n["confidence"], tuple(n["box"]), tuple(n["candidates"]), tuple(n["characters"]))
            for n in answer.numbers
        ]
    elif texts[0] and answer.confidence >= LEAST_CONFIDENCE:
        numbers = [Number(texts[0], answer.confidence, None, texts, tuple(answer.characters))]
    else:
        numbers = []
    return Reading(texts[0], answer.confidence, texts, tuple(numbers), source)
