"""Name, write and read the files of a dataset: shards, `dataset_info.json`, `COMPLETED`."""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from trainer.cli import UserError
from trainer.data.formats.tfrecord import Damaged, count_records
from trainer.files import json_content, whole_file
from trainer.vocab import Vocab

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)  # version 1 has no `numbers`
INFO_FILE = "dataset_info.json"
REGENERATE = "run the prepare or synthesize command again, with --overwrite"
COMPLETED_FILE = "COMPLETED"
REJECTS_FILE = "rejects.jsonl"


def shard_name(split: str, index: int, count: int) -> str:
    """Return a shard's name, e.g. `train.tfrecord-00003-of-00008`; TensorFlow Datasets also supports this pattern."""
    return f"{split}.tfrecord-{index:05d}-of-{count:05d}"


@dataclass
class Shard:
    """A finished shard file: its name in the folder, number of records, size in bytes, CRC-32C of all its bytes."""

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
    """The contents of `dataset_info.json`.

    `records_in` equals all records written + all rejects; `notes` are counts of other noteworthy cases.
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


def info_from_json(text: str | bytes, folder: str) -> DatasetInfo:
    """Parse `dataset_info.json`.

    Raises:
      UserError: it is not such a file, or has another schema version.
    """
    raw = json_content.parse(text, f"{folder}/{INFO_FILE}", advice=REGENERATE, keys=("schema_version",))
    try:
        version = raw["schema_version"]
        if version not in READABLE_VERSIONS:
            raise UserError(
                f"{folder} has records of schema version {version}, but this program reads versions 1 and 2: "
                "regenerate the dataset with beam_pipelines.prepare or synthesize"
            )
        del raw["alphabet_fingerprint"]
        raw["splits"] = {
            name: Split(**{**split, "shards": [Shard(**shard) for shard in split["shards"]]})
            for name, split in raw["splits"].items()
        }
        return DatasetInfo(**raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}/{INFO_FILE} is damaged ({error!r}): {REGENERATE}") from error


def read_info(folder: str) -> DatasetInfo:
    """Read the description of a finished dataset, in a local folder or on `gs://`.

    Raises:
      UserError: the folder does not exist, the dataset is not finished, or it has another schema version.
    """
    import tensorflow as tf

    if not tf.io.gfile.isdir(folder):
        raise UserError(
            f"the dataset folder {folder} does not exist: create it with beam_pipelines.prepare or synthesize"
        )
    for name in (COMPLETED_FILE, INFO_FILE):
        if not tf.io.gfile.exists(f"{folder}/{name}"):
            raise UserError(
                f"{folder} has no {name}: it is not a dataset, or the run that was writing it did not finish; "
                "run that prepare or synthesize command again"
            )
    content = whole_file.read(f"{folder}/{INFO_FILE}", advice=REGENERATE)
    return info_from_json(content or b"", folder)


def shard_paths(folder: str, info: DatasetInfo, split: str) -> list[str]:
    """Return the paths of a split's shard files.

    Raises:
      UserError: the split is missing or empty, or a local shard has damaged framing or another number of records than
        in the description.
    """
    if split not in info.splits or not info.splits[split].records:
        raise UserError(f"{folder} has no records in split {split!r}; it has: {_listed(info.splits)}")
    paths = [f"{folder}/{shard.name}" for shard in info.splits[split].shards]
    for path, shard in zip(paths, info.splits[split].shards, strict=True):
        # A missing shard is reported when it is read.
        if os.path.exists(path):
            try:
                count = count_records(path)
            except (Damaged, OSError) as error:
                raise UserError(f"{path} is damaged: {error}: regenerate the dataset") from error
            if count != shard.records:
                raise UserError(
                    f"{path} has {count:,} records, but {INFO_FILE} says {shard.records:,}: copy the shard again from "
                    "its source, or regenerate the dataset"
                )
    return paths


def fingerprint(info: DatasetInfo) -> str:
    """Return eight hexadecimal digits that differ for datasets with different records."""
    shards = sorted((shard.name, shard.crc32c) for split in info.splits.values() for shard in split.shards)
    return f"{zlib.crc32(json.dumps(shards).encode()):08x}"


def identities(folders: Iterable[str]) -> list[dict[str, str]]:
    """Return the `folder` and the `fingerprint` of each dataset."""
    return [{"folder": folder, "fingerprint": fingerprint(read_info(folder))} for folder in folders]


def _listed(splits: Iterable[str]) -> str:
    return ", ".join(sorted(splits)) or "none"
