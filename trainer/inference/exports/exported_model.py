"""Read images with an exported model, and read its metadata."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import google_crc32c
import numpy as np

from trainer import released
from trainer.cli import UserError
from trainer.cluster import cpu, environment
from trainer.config.schema import CONFIG_FILE
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline import batches
from trainer.files import json_content, whole_file
from trainer.inference.photos import region_options

INFO_FILE = "model_info.json"
INFO_PATH = f"assets/{INFO_FILE}"
GRAPH = "saved_model.pb"
ONNX_FILE = "assets.extra/model.onnx"
CHECKSUMS = "assets.extra/checksums.json"  # CRC-32C of every other file, in hexadecimal, by path
PIXEL_DIGITS = 1  # after the point, of coordinates
LEAST_CONFIDENCE = 0.2  # lowest confidence of a region that is listed as a number
DIGITS_KEPT = 7  # significant digits of each probability; any more would be float32 noise


@dataclass(frozen=True)
class Answer:
    """A model's answer for one image.

    Attributes:
      candidates: best first, each with `text`, `log_prob` and `probability`.
      confidence: the calibrated probability that the first candidate is correct.
      characters: the probability of each of its characters, given those before it; empty for older exports.
      box: where that number is: x and y of each corner in pixels, clockwise from the top left of the text. None if the
        model does not find numbers.
      numbers: all numbers with a confidence of at least `LEAST_CONFIDENCE`, most confident first, each with `text`,
        `confidence`, `box`, `candidates` and `characters`; None if the model does not find numbers. If empty, the
        candidates are only a guess.
      numbers_cut_off: whether there are, or may be, more numbers than were asked for.
    """

    candidates: list[dict[str, Any]]
    confidence: float
    characters: list[float] = dataclasses.field(default_factory=list)
    box: list[float] | None = None
    numbers: list[dict[str, Any]] | None = None
    numbers_cut_off: bool = False

    def scaled(self, factors: tuple[float, float]) -> "Answer":
        """Return the answer for an image that is larger by these factors across and down."""
        if self.numbers is None or self.box is None:
            return self
        numbers = [{**number, "box": _scaled(number["box"], factors)} for number in self.numbers]
        return dataclasses.replace(self, box=_scaled(self.box, factors), numbers=numbers)


@dataclass(frozen=True)
class ExportedModel:
    """A loaded SavedModel and its metadata. The loaded object must live as long as its signatures.

    Attributes:
      loaded: what `tf.saved_model.load` returned.
      info: the content of `model_info.json`.
      in_bfloat16: whether `read` computes in bfloat16, see `in_bfloat16.calling`.
    """

    loaded: Any
    info: dict[str, Any]
    in_bfloat16: bool = False
    engine: ClassVar[str] = region_options.TENSORFLOW

    def read(
        self,
        files: Sequence[bytes],
        *,
        beam_width: int,
        candidates: int,
        most: int = region_options.MOST_NUMBERS,
        whole: bool = False,
    ) -> list[Answer]:
        """Return the answer for each encoded image; large ones are read a few at a time.

        Args:
          files: PNG, JPEG, BMP or GIF.
          beam_width: of the beam search.
          candidates: how many to return, at most `beam_width`.
          most: maximum number of answers per image, if the model finds numbers.
          whole: read each image as a whole, even if the model finds numbers.
        """
        import tensorflow as tf

        from trainer.inference.exports import in_bfloat16  # it imports TensorFlow

        whole = whole and "whole" in self.loaded.signatures
        signature = self.loaded.signatures["whole" if whole else "serving_default"]
        call = in_bfloat16.calling(signature) if self.in_bfloat16 else signature
        sizes = {"beam_width": tf.constant(beam_width), "candidates": tf.constant(candidates)}
        answers = []
        for part in batches.of(files, len(files), len):
            out = {name: value.numpy().tolist() for name, value in call(images=tf.constant(part), **sizes).items()}
            rows = [dict(zip(out, row, strict=True)) for row in zip(*out.values(), strict=True)]
            answers += [answer_of(row, most) for row in rows]
        return answers

    @property
    def image_size(self) -> tuple[int, int]:
        """The best height and width of input images, in pixels."""
        height, width = self.info["image_size"]
        return height, width

    @property
    def fitted(self) -> Callable[..., dict[str, Any]]:
        """The signature for images of the model's size, see `signatures.signatures`; older exports take uint8."""
        import tensorflow as tf

        from trainer.data.pipeline import preprocess  # it imports TensorFlow

        signatures = self.loaded.signatures
        read = signatures["fitted" if "fitted" in signatures else "decoded"]
        if read.structured_input_signature[1]["images"].dtype == tf.float32:
            return read
        return lambda images, **sizes: read(images=tf.cast(preprocess.rounded(images), tf.uint8), **sizes)

    def attention(self, file: bytes) -> tuple[str, np.ndarray] | None:
        """Return the best text and where the model looked for each character; None if it has no attention."""
        import tensorflow as tf

        if "attention" not in self.loaded.signatures:
            return None
        out = self.loaded.signatures["attention"](images=tf.constant([file]))
        return out["text"].numpy()[0].decode(), out["attention"].numpy()[0]


def parse_info(content: bytes, model: str) -> dict[str, Any]:
    """Return the metadata in an exported model's `model_info.json`.

    Raises:
      UserError: an older version wrote it.
    """
    info = json_content.parse(content, f"{model}/{INFO_PATH}", advice="export the model again")
    if not {"beam_width", "calibration", "image_size"} <= info.keys():
        raise UserError(f"{model} was exported by an older version: export it again")
    return info


def reading_info(info: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return the metadata with the calibration that applies: for whole images, or for the regions that are found."""
    return info["reader"] if whole and "reader" in info else info


def input_of(info: dict[str, Any]) -> ModelInput:
    """Return the input of a model, given its metadata."""
    height, width = info["image_size"]
    return ModelInput(height, width, letterboxed="finder" in info)


def check_files(model: str, read: Callable[[str], bytes | None]) -> None:
    """Check that an exported model is complete and that no file of it is damaged.

    A model of version 0.1, which stored no checksums, must at least have its graph and its metadata.

    Args:
      model: the name of the model, for errors.
      read: returns the content of a file of the model, by its path in the model; None if it does not exist.
    Raises:
      UserError: a file is missing or damaged.
    """
    again = "export the model again"
    stored = read(CHECKSUMS)
    expected = {GRAPH: None, INFO_PATH: None}
    if stored is not None:
        expected |= json_content.parse(stored, f"{model}/{CHECKSUMS}", advice=again)
    for path, checksum in sorted(expected.items()):
        content = read(path)
        if content is None and read(CONFIG_FILE) is not None:
            raise UserError(
                f"{model} is a work folder: export its model with trainer.export --workdir {model} --output "
                f"{model.rstrip('/')}/export"
            )
        if content is None:
            raise UserError(f"{model} has no {path}: it is not a complete model written by trainer.export; {again}")
        if not content or (checksum is not None and checksum != crc32c(content)):
            raise UserError(f"{model}/{path} is damaged: {again}")


def crc32c(content: bytes) -> str:
    """Return the CRC-32C of a file's content, in hexadecimal."""
    return f"{google_crc32c.value(content):08x}"


def load(folder: str, precision: str = region_options.FLOAT32) -> ExportedModel:
    """Load a model from a local folder or from a bucket that TensorFlow supports.

    Args:
      folder: the model.
      precision: `region_options.AUTO` to compute in bfloat16 on a CPU that has instructions for it: confidences differ
        by about 0.001, texts hardly ever.
    Raises:
      UserError: it is missing, damaged, or was exported by an older version.
    """
    import tensorflow as tf

    check_files(folder, lambda path: whole_file.read(f"{folder}/{path}", advice="export the model again"))
    info = parse_info(whole_file.read(f"{folder}/{INFO_PATH}", advice="") or b"", folder)
    on_cpu = precision == region_options.AUTO and not tf.config.list_physical_devices("GPU")
    try:
        with environment.native_stderr(), released.loadable(folder) as loadable:
            return ExportedModel(tf.saved_model.load(loadable), info, on_cpu and cpu.computes_in_bfloat16())
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:  # TensorFlow raises all of these
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder} cannot be loaded ({reason}): export the model again") from error


def answer_of(row: dict[str, Any], most: int) -> Answer:
    """Return the answer for an image, with at most `most` numbers, given what the signature returns for it."""
    return _with_numbers(_without_numbers(row), row, most)


def _without_numbers(row: dict[str, Any]) -> Answer:
    candidates = [
        {"text": text.decode(), "log_prob": _rounded(log_prob), "probability": _rounded(probability)}
        for text, log_prob, probability in zip(row["text"], row["log_prob"], row["probability"], strict=True)
    ]
    return Answer(candidates, _rounded(row["confidence"]), _of(candidates[0]["text"], row.get("characters", [])))


def _of(text: str, characters: list[float]) -> list[float]:
    """Return the probabilities of the text's own characters, given those of all tokens."""
    return [_rounded(probability) for probability in characters[: len(text)]]


def _with_numbers(answer: Answer, row: dict[str, Any], most: int) -> Answer:
    """Return an answer with its numbers, given what the signature returns for the image: its regions, best first."""
    if "numbers/text" not in row:
        return answer
    texts = [text.decode() for text in row["numbers/text"]]
    boxes = [[round(edge, PIXEL_DIGITS) for edge in box] for box in row["numbers/corners"]]
    candidates = row.get("numbers/candidates", [[text] for text in row["numbers/text"]])
    characters = row.get("numbers/characters", [[]] * len(texts))
    numbers = [
        {
            "text": text,
            "confidence": _rounded(confidence),
            "box": box,
            "candidates": [candidate.decode() for candidate in others],
            "characters": _of(text, probabilities),
        }
        for text, confidence, box, others, probabilities in zip(
            texts, row["numbers/confidence"], boxes, candidates, characters, strict=True
        )
        if confidence >= LEAST_CONFIDENCE and text
    ]
    full = len(numbers) >= len(texts) - 1  # as many as the model reads at most, besides the whole photo
    return dataclasses.replace(
        answer, box=boxes[0], numbers=numbers[:most], numbers_cut_off=full or len(numbers) > most
    )


def _scaled(box: list[float], factors: tuple[float, float]) -> list[float]:
    return [round(edge * factors[i % 2], PIXEL_DIGITS) for i, edge in enumerate(box)]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS_KEPT}g}")
