"""The record contract: one spec from which pictures are written and parsed, and the files around them.

A dataset is a folder with TFRecord shards, `dataset_info.json` and, written last, `COMPLETED`. The
writing side of this module does not import TensorFlow, so that Beam workers start fast; the parsing
side does, inside its functions.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from google.protobuf.message import DecodeError

from trainer.cli import UserError
from trainer.data.example_proto import example_class
from trainer.data.tfrecord import Damaged as Damaged
from trainer.data.tfrecord import count_records
from trainer.data.tfrecord import read_framed as read_framed
from trainer.data.tfrecord import write_framed as write_framed
from trainer.vocab import Vocab

SCHEMA_VERSION = 1
INFO_FILE = "dataset_info.json"
COMPLETED_FILE = "COMPLETED"
REJECTS_FILE = "rejects.jsonl"

Kind = Literal["bytes", "float", "int64"]
# feature -> (kind, one value exactly or any number of them)
FEATURES: dict[str, tuple[Kind, Literal["one", "many"]]] = {
    "image/encoded": ("bytes", "one"),
    "image/format": ("bytes", "one"),
    "image/key": ("bytes", "one"),
    "label/text": ("bytes", "one"),
    "label/ids": ("int64", "many"),
    "box": ("float", "many"),
    "char_boxes": ("float", "many"),
    "source": ("bytes", "one"),
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """One labelled picture.

    Attributes:
      encoded: the RGB picture as a PNG or JPEG file.
      format: `png` or `jpeg`.
      key: stable, unique id, e.g. `train/123.png`.
      text: the number as people write it, e.g. `007`.
      source: where it comes from, e.g. `svhn`, `csv`, `synthetic-fonts`.
      box: left, top, right, bottom of the number in the stored picture, 0-1, or None where unknown.
      char_boxes: likewise, one for each character, or empty.
    """

    encoded: bytes
    format: str
    key: str
    text: str
    source: str
    box: Box | None = None
    char_boxes: Sequence[Box] = ()


def to_example(record: Record, vocab: Vocab) -> bytes:
    """Serialises a record as a `tf.train.Example`; the same record gives the same bytes everywhere.

    Raises:
      ValueError: the label has characters outside the alphabet.
    """
    values: dict[str, list[Any]] = {
        "image/encoded": [record.encoded],
        "image/format": [record.format.encode()],
        "image/key": [record.key.encode()],
        "label/text": [record.text.encode()],
        "label/ids": vocab.encode(record.text),
        "box": list(record.box or ()),
        "char_boxes": [edge for box in record.char_boxes for edge in box],
        "source": [record.source.encode()],
    }
    example = example_class()()
    for name, (kind, _) in FEATURES.items():
        getattr(example.features.feature[name], f"{kind}_list").value.extend(values[name])
    return example.SerializeToString(deterministic=True)


def from_example(data: bytes) -> Record:
    """Reads what `to_example` wrote, without TensorFlow.

    Raises:
      Damaged: the bytes are no such example.
    """
    try:
        found = example_class().FromString(data).features.feature
    except DecodeError as error:
        raise Damaged(f"it is no tf.train.Example: {error}") from error
    values = {name: list(getattr(found[name], f"{kind}_list").value) for name, (kind, _) in FEATURES.items()}
    for name, (kind, count) in FEATURES.items():
        if count == "one" and len(values[name]) != 1:
            raise Damaged(f"{name} has {len(values[name])} values of the kind {kind}, and not one")
    if len(values["box"]) not in (0, 4) or len(values["char_boxes"]) % 4:
        raise Damaged(f"boxes have {len(values['box'])} and {len(values['char_boxes'])} edges, and not 4 each")
    edges = iter(values["char_boxes"])
    try:
        texts = {name: values[name][0].decode() for name in ("image/format", "image/key", "label/text", "source")}
    except UnicodeDecodeError as error:
        raise Damaged(f"a text is no UTF-8: {error}") from error
    return Record(
        encoded=values["image/encoded"][0],
        format=texts["image/format"],
        key=texts["image/key"],
        text=texts["label/text"],
        source=texts["source"],
        box=tuple(values["box"]) or None,
        char_boxes=list(zip(edges, edges, edges, edges, strict=True)),
    )


def parse_batch(serialized: Any, max_length: int) -> dict[str, Any]:
    """Parses a batch of serialised records, string [B], inside a graph.

    Returns:
      `image/encoded`, `image/format`, `image/key`, `label/text`, `source`: string [B];
      `label/ids`: int32 [B, max_length], padded with -1; `box`: float32 [B, 4], all -1 where unknown.
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
    del parsed["char_boxes"]
    return parsed


def shard_name(split: str, index: int, count: int) -> str:
    """`train.tfrecord-00003-of-00008`: the template that TensorFlow Datasets reads, too."""
    return f"{split}.tfrecord-{index:05d}-of-{count:05d}"


@dataclass
class Shard:
    """A finished shard file: its name in the folder, records, size in bytes, CRC-32C of all its bytes."""

    name: str
    records: int
    bytes: int
    crc32c: str


@dataclass
class Split:
    """One split of a dataset: its shards, and how many records it has by source and by label length."""

    records: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    shards: list[Shard] = field(default_factory=list)


@dataclass
class DatasetInfo:
    """What `dataset_info.json` says.

    `records_in` = all records written + all rejects, exactly; `notes` count what else a reader should know.
    """

    alphabet: str
    splits: dict[str, Split]
    records_in: int
    rejects: dict[str, int]
    command: list[str]
    request: dict[str, Any]
    notes: dict[str, int] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    alphabet_fingerprint: str = ""

    def __post_init__(self) -> None:
        self.alphabet_fingerprint = Vocab(self.alphabet).fingerprint

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def max_length(self) -> int:
        return max((int(n) for split in self.splits.values() for n in split.lengths), default=0)


def info_from_json(text: str, folder: str) -> DatasetInfo:
    """Reads `dataset_info.json`.

    Raises:
      UserError: it is no such file, or of another schema version.
    """
    try:
        raw = json.loads(text)
        version = raw["schema_version"]
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{folder} has records of schema version {version}, this program reads version {SCHEMA_VERSION}: "
                "write the dataset anew with beam_pipelines.prepare or synthesize"
            )
        del raw["alphabet_fingerprint"]
        raw["splits"] = {
            name: Split(**{**split, "shards": [Shard(**shard) for shard in split["shards"]]})
            for name, split in raw["splits"].items()
        }
        return DatasetInfo(**raw)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}/{INFO_FILE} is damaged ({error!r}): write the dataset anew") from error


def read_info(folder: str) -> DatasetInfo:
    """Reads what a finished dataset holds, from a local folder or `gs://`.

    Raises:
      UserError: there is no such folder, it is not finished, or of another schema version.
    """
    import tensorflow as tf

    if not tf.io.gfile.isdir(folder):
        raise UserError(f"there is no dataset folder {folder}: make one with beam_pipelines.prepare or synthesize")
    for name in (COMPLETED_FILE, INFO_FILE):
        if not tf.io.gfile.exists(f"{folder}/{name}"):
            raise UserError(
                f"{folder} has no {name}: it is no dataset, or the run that was writing it did not finish; "
                "run that prepare or synthesize command again"
            )
    with tf.io.gfile.GFile(f"{folder}/{INFO_FILE}", "r") as file:
        return info_from_json(file.read(), folder)


def shard_paths(folder: str, info: DatasetInfo, split: str) -> list[str]:
    """The shard files of a split.

    Raises:
      UserError: the dataset has no such split, it is empty, or the framing of a local shard is damaged or holds
        another number of records than the description says.
    """
    if split not in info.splits or not info.splits[split].records:
        raise UserError(f"{folder} has no records in split {split!r}; it has: {_listed(info.splits)}")
    paths = [f"{folder}/{shard.name}" for shard in info.splits[split].shards]
    for path, shard in zip(paths, info.splits[split].shards, strict=True):
        # A missing one is named by whoever reads it.
        if os.path.exists(path):
            try:
                count = count_records(path)
            except (Damaged, OSError) as error:
                raise UserError(f"{path} is damaged: {error}: write the dataset anew") from error
            if count != shard.records:
                raise UserError(
                    f"{path} has {count:,} records, but {INFO_FILE} says {shard.records:,}: copy the shard again from "
                    "where it came, or write the dataset again"
                )
    return paths


def _listed(splits: Iterable[str]) -> str:
    return ", ".join(sorted(splits)) or "none"
