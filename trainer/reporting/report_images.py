"""Load images for the report, as thumbnails embedded in the page: from dataset records, and from scored files."""

import base64
import io
import logging
from typing import Any

import tensorflow as tf

from trainer import graph
from trainer.cli import UserError
from trainer.data import dataset_info, image_io, image_kinds, records
from trainer.data.untuned import untuned
from trainer.files import local_file

log = logging.getLogger(__name__)

SIDE = 320  # pixels, of the longer side


def of_datasets(keys: set[str], folders: list[str], split: str) -> dict[str, str]:
    """Return data URLs of records by their keys; records that can no longer be read are missing."""
    urls: dict[str, str] = {}
    for folder in folders:
        try:
            info = dataset_info.read_info(folder)
            paths = dataset_info.shard_paths(folder, info, split)
            dataset = tf.data.TFRecordDataset(paths).batch(256)
            batches = dataset.map(graph.as_written(lambda raw, n=info.max_length: records.parse_batch(raw, n)))
            for batch in untuned(batches).as_numpy_iterator():
                for key, encoded in zip(batch["image/key"], batch["image/encoded"], strict=True):
                    if key.decode() in keys:
                        urls[key.decode()] = _data_url(io.BytesIO(encoded))
        except (UserError, tf.errors.OpError) as error:
            log.warning("the report lacks images of %s: %s", folder, str(error).splitlines()[0])
    return urls


def of_row(row: dict[str, Any]) -> str:
    """Return a data URL of the image file that a row of predictions is about; empty if it is not a file, or is gone.

    A key is a path only if scoring found a file under it: keys of records and archives are untrusted text.
    """
    found_as = row.get("found_as", "record" if row.get("label") is not None else "file")  # version 0.1.0 stored none
    path = row["key"]
    if found_as != "file" or ("://" in path and not path.startswith("gs://")):
        return ""
    try:
        with tf.io.gfile.GFile(path, "rb") if "://" in path else local_file.open_regular(path) as file:
            return _data_url(io.BytesIO(file.read()) if "://" in path else file)
    except (OSError, ValueError, tf.errors.OpError):
        return ""


def _data_url(file: Any) -> str:
    """Return a thumbnail as a data URL; empty if the file is not an image that can be decoded."""
    try:
        image = image_io.for_model(file, (SIDE, SIDE)).image
    except image_kinds.UnreadableImage:
        return ""
    image.thumbnail((SIDE, SIDE))
    return f"data:image/png;base64,{base64.b64encode(image_io.encode(image, 'png')).decode()}"
