"""The record contract: one spec by which records are both written and parsed.

A dataset is a folder with TFRecord shards, `dataset_info.json` and, written last, `COMPLETED`. The
writing side of this module does not import TensorFlow, so that Beam workers start fast; the parsing
side does, inside its functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.message import DecodeError

from trainer.data.formats.example_proto import example_class
from trainer.data.formats.tfrecord import Damaged
from trainer.data.labels import box_corners
from trainer.data.labels.box_corners import Box, Corners
from trainer.vocab import Vocab

Kind = Literal["bytes", "float", "int64"]
# feature -> (kind, exactly one value or any number of values)
FEATURES: dict[str, tuple[Kind, Literal["one", "many"]]] = {
    "image/encoded": ("bytes", "one"),
    "image/format": ("bytes", "one"),
    "image/key": ("bytes", "one"),
    "label/text": ("bytes", "one"),
    "label/ids": ("int64", "many"),
    "box": ("float", "many"),
    "char_boxes": ("float", "many"),
    "source": ("bytes", "one"),
    "numbers/text": ("bytes", "many"),
    "numbers/corners": ("float", "many"),
}

EDGES, COORDINATES = 4, 8  # floats per box, and per oriented box


@dataclass(frozen=True)
class Number:
    """One of the numbers that an image shows.

    Attributes:
      text: as written, e.g. `007`.
      corners: x and y of each corner of its oriented box in the stored image, 0-1 within the image: top left, top
        right, bottom right, bottom left, as seen when the characters are upright.
    """

    text: str
    corners: Corners

    @property
    def points(self) -> list[tuple[float, float]]:
        """The corners as (x, y) pairs."""
        return list(zip(self.corners[::2], self.corners[1::2], strict=True))

    @property
    def upright_box(self) -> Box:
        """The smallest box with vertical sides around it, clipped to the image."""
        left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in box_corners.box_around(self.corners))
        return left, top, right, bottom


@dataclass(frozen=True)
class Record:
    """One labelled image.

    Attributes:
      encoded: the RGB image as a PNG or JPEG file.
      format: `png` or `jpeg`.
      key: stable, unique id, e.g. `train/123.png`.
      text: the number as written, e.g. `007`; if there are several, the largest one; empty if there are none.
      source: where the image comes from, e.g. `svhn`, `csv`, `synthetic-fonts`.
      box: left, top, right, bottom of the number in the stored image, 0-1, or None if unknown.
      char_boxes: likewise, one for each character, or empty.
      numbers: all numbers with their oriented boxes; empty if there are none, or if boxes are unknown.
    """

    encoded: bytes
    format: str
    key: str
    text: str
    source: str
    box: Box | None = None
    char_boxes: Sequence[Box] = ()
    numbers: Sequence[Number] = ()


def to_example(record: Record, vocab: Vocab) -> bytes:
    """Serialise a record as a `tf.train.Example`; the same record gives the same bytes everywhere.

    Raises:
      ValueError: the label has characters outside the alphabet.
    """
    values: dict[str, list[Any]] = {
        "image/encoded": [record.encoded],
        "image/format": [record.format.encode()],
        "image/key": [record.key.encode()],
        "label/text": [record.text.encode()],
        "label/ids": vocab.encode(record.text) if record.text else [],
        "box": list(record.box or ()),
        "char_boxes": [edge for box in record.char_boxes for edge in box],
        "source": [record.source.encode()],
        "numbers/text": [number.text.encode() for number in record.numbers],
        "numbers/corners": [c for number in record.numbers for c in number.corners],
    }
    example = example_class()()
    for name, (kind, _) in FEATURES.items():
        getattr(example.features.feature[name], f"{kind}_list").value.extend(values[name])
    return example.SerializeToString(deterministic=True)


def from_example(data: bytes) -> Record:
    """Parse what `to_example` wrote, without TensorFlow.

    Raises:
      Damaged: the bytes are not such an example.
    """
    try:
        found = example_class().FromString(data).features.feature
    except DecodeError as error:
        raise Damaged(f"it is not a tf.train.Example: {error}") from error
    values = {name: list(getattr(found[name], f"{kind}_list").value) for name, (kind, _) in FEATURES.items()}
    for name, (kind, count) in FEATURES.items():
        if count == "one" and len(values[name]) != 1:
            raise Damaged(f"{name} has {len(values[name])} values of type {kind}, expected exactly one")
    if len(values["box"]) not in (0, EDGES) or len(values["char_boxes"]) % EDGES:
        raise Damaged(
            f"box has {len(values['box'])} and char_boxes {len(values['char_boxes'])} edges, expected 4 per box"
        )
    if len(values["numbers/corners"]) != COORDINATES * len(values["numbers/text"]):
        raise Damaged(
            f"numbers/corners has {len(values['numbers/corners'])} coordinates for {len(values['numbers/text'])} "
            "numbers, expected 8 per number"
        )
    edges, coordinates = iter(values["char_boxes"]), iter(values["numbers/corners"])
    try:
        texts = {name: values[name][0].decode() for name in ("image/format", "image/key", "label/text", "source")}
        numbers = [text.decode() for text in values["numbers/text"]]
    except UnicodeDecodeError as error:
        raise Damaged(f"a text is not valid UTF-8: {error}") from error
    return Record(
        encoded=values["image/encoded"][0],
        format=texts["image/format"],
        key=texts["image/key"],
        text=texts["label/text"],
        source=texts["source"],
        box=tuple(values["box"]) or None,
        char_boxes=list(zip(*[edges] * EDGES, strict=True)),
        numbers=list(map(Number, numbers, zip(*[coordinates] * COORDINATES, strict=True))),
    )


def parse_batch(serialized: Any, max_length: int) -> dict[str, Any]:
    """Parse a batch of serialised records, string [B], inside a graph.

    Returns:
      `image/encoded`, `image/format`, `image/key`, `label/text`, `source`: string [B];
      `label/ids`: int32 [B, max_length], padded with -1; `box`: float32 [B, 4], all -1 if unknown.
    Raises:
      tf.errors.InvalidArgumentError: a record does not follow the contract.
    """
    import tensorflow as tf

    types = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}
    spec = {
        name: tf.io.FixedLenFeature([], types[kind]) if count == "one" else tf.io.RaggedFeature(types[kind])
        for name, (kind, count) in FEATURES.items()
    }
    parsed = tf.io.parse_example(serialized, spec)
    parsed["label/ids"] = tf.cast(parsed["label/ids"].to_tensor(-1, shape=[None, max_length]), tf.int32)
    parsed["box"] = parsed["box"].to_tensor(-1.0, shape=[None, 4])
    for name in ("char_boxes", "numbers/text", "numbers/corners"):
        del parsed[name]
    return parsed


def parse_corners(serialized: Any) -> Any:
    """Parse the oriented boxes of a batch of serialised records, string [B], inside a graph.

    Returns:
      float32 [B, N, 8] in 0-1 of the stored images, NaN beyond an image's own numbers.
    """
    import tensorflow as tf

    parsed = tf.io.parse_example(serialized, {"numbers/corners": tf.io.RaggedFeature(tf.float32)})
    flat = parsed["numbers/corners"].to_tensor(float("nan"))
    return tf.reshape(flat, [tf.shape(serialized)[0], -1, COORDINATES])
