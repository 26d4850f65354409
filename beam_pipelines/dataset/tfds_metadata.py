"""The files that let TensorFlow Datasets read our datasets: `tfds.builder_from_directory(f"{folder}/tfds")`.

They have their own folder, since TensorFlow Datasets also calls its description `dataset_info.json`, and rejects
unknown keys in it.
"""

import json
from typing import Any

from trainer.data.formats import dataset_info, records
from trainer.data.formats.dataset_info import DatasetInfo, Split

FOLDER = "tfds"
INFO_FILE = f"{FOLDER}/dataset_info.json"
FEATURES_FILE = f"{FOLDER}/features.json"
FILES = (INFO_FILE, FEATURES_FILE)

CLASSES = "tensorflow_datasets.core.features"
DTYPES = {"bytes": "string", "float": "float32", "int64": "int64"}


def files(info: DatasetInfo) -> dict[str, str]:
    """Return name -> text of the files to write in addition to the shards."""
    return {INFO_FILE: _text(_info(info)), FEATURES_FILE: _text(_features())}


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _info(info: DatasetInfo) -> dict[str, Any]:
    return {
        "name": "digit_sequences",
        "version": f"{dataset_info.SCHEMA_VERSION}.0.0",
        "description": "Images of numbers, and what they say.",
        "fileFormat": "tfrecord",
        "splits": [_split(name, split) for name, split in sorted(info.splits.items())],
    }


def _split(name: str, split: Split) -> dict[str, Any]:
    return {  # protobuf's JSON writes 64-bit integers as strings
        "name": name,
        "shardLengths": [str(shard.records) for shard in split.shards],
        "numBytes": str(sum(shard.bytes for shard in split.shards)),
        "filepathTemplate": "../{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
    }


def _features() -> dict[str, Any]:
    features: dict[str, Any] = {}
    for name, (kind, count) in records.FEATURES.items():
        shape = {} if count == "one" else {"dimensions": ["-1"]}
        features[name] = {
            "pythonClassName": f"{CLASSES}.tensor_feature.Tensor",
            "tensor": {"shape": shape, "dtype": DTYPES[kind], "encoding": "none"},
        }
    features["image/encoded"] = {
        "pythonClassName": f"{CLASSES}.image_feature.Image",
        "image": {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8"},
    }
    return {
        "type": f"{CLASSES}.features_dict.FeaturesDict",
        "content": {"features": features},
        "proto_cls": "tensorflow_datasets.FeaturesDict",
    }
