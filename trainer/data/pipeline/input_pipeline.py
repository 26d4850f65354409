"""Load datasets into memory, and form batches from them in an order that is a function of (seed, step).

So the step alone is the position in the input, and a resumed run sees exactly the same batches.
"""

import functools
import logging
import os
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import graph
from trainer.cli import UserError
from trainer.config.model import Model
from trainer.config.schema import Config
from trainer.data.formats import dataset_info, records, shard_sizes
from trainer.data.formats.tfrecord import Damaged
from trainer.data.pipeline import augment, batch_order, leakage, number_corners, preprocess
from trainer.data.pipeline.untuned import untuned
from trainer.vocab import Vocab

log = logging.getLogger(__name__)

PARSE_BATCH = 256


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images in memory.

    Attributes:
      images: uint8 [N, H, W, 3] or, if that would not fit in memory, the encoded files, string [N].
      tokens: int32 [N, max_length + 1], the label's characters, then end tokens.
      keys, texts, sources: from the records, N each.
      fingerprints: int64 [N, 2 or 3], by which `leakage` recognises an image.
      datasets: int [N], ascending, the index of the dataset that each image is from.
      corners: of all numbers for a finder, float32 [N, M, 8], in pixels of the model's input, NaN beyond an image's own
        numbers; for a recogniser, M is 0.
      paths, rows: the files, and the index of each image among all their records, int64 [N].
    """

    images: tf.Tensor
    tokens: np.ndarray | tf.Tensor
    keys: list[str]
    texts: list[str]
    sources: list[str]
    fingerprints: np.ndarray
    datasets: np.ndarray
    corners: np.ndarray | tf.Tensor
    paths: tuple[str, ...]
    rows: np.ndarray
    model: Model

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the images at int [B] indices, uint8 [B, H, W, 3]; for use inside a graph."""
        chosen = tf.gather(self.images, indices)
        if chosen.dtype == tf.string:
            return preprocess.decode_and_fit(chosen, self.model)
        return chosen

    def select(self, indices: np.ndarray) -> "LabelledImages":
        return LabelledImages(
            images=tf.gather(self.images, indices),
            tokens=self.tokens[indices],
            keys=[self.keys[i] for i in indices],
            texts=[self.texts[i] for i in indices],
            sources=[self.sources[i] for i in indices],
            fingerprints=self.fingerprints[indices],
            datasets=self.datasets[indices],
            corners=self.corners[indices],
            paths=self.paths,
            rows=self.rows[indices],
            model=self.model,
        )

    def read_images(self) -> tf.Tensor:
        """Read `images` from the files again; for use inside a graph that another machine runs."""

        def parse(serialized: tf.Tensor) -> tf.Tensor:
            encoded = records.parse_batch(serialized, self.model.max_length)["image/encoded"]
            return encoded if self.images.dtype == tf.string else preprocess.decode_and_fit(encoded, self.model)

        files = tf.data.TFRecordDataset(list(self.paths)).batch(PARSE_BATCH)
        files = files.map(graph.as_written(parse), num_parallel_calls=2)
        needed = int(self.rows.max()) + 1
        return tf.gather(files.unbatch().take(needed).batch(needed).get_single_element(), self.rows)


def load(folders: list[str], split: str, config: Config) -> LabelledImages:
    """Read a split of one or more datasets into memory, in the order of their shards.

    Raises:
      UserError: a folder is not a finished dataset of this schema and alphabet, lacks the split, has labels
        that are too long for the model, or a key occurs twice.
    """
    model = config.model
    paths, counts = [], []
    for folder in folders:
        info = _checked_info(folder, model)
        paths += dataset_info.shard_paths(folder, info, split)
        shard_sizes.check(folder, info, split, functools.partial(_size, folder))
        counts.append(info.splits[split].records)
    decoded_bytes = sum(counts) * model.image_height * model.image_width * 3
    decode = decoded_bytes <= config.data.memory_gb * 1e9
    images, parts = _parse_all_images(paths, model, sum(counts), decode=decode)
    number_corners.pad(parts)
    fields: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if model.finds:
        number_corners.check(fields, folders)
    keys = [key.decode() for key in fields["image/key"]]
    _check_unique(keys, folders)
    return LabelledImages(
        images=images,
        tokens=_with_end(fields["label/ids"], model),
        keys=keys,
        texts=[text.decode() for text in fields["label/text"]],
        sources=[source.decode() for source in fields["source"]],
        fingerprints=fields["fingerprints"],
        datasets=np.repeat(np.arange(len(folders)), counts),
        corners=fields["corners"],
        paths=tuple(paths),
        rows=np.arange(len(keys)),
        model=model,
    )


def _size(folder: str, name: str) -> int | None:
    try:
        return tf.io.gfile.stat(f"{folder}/{name}").length
    except tf.errors.NotFoundError:
        return None


def _checked_info(folder: str, model: Model) -> dataset_info.DatasetInfo:
    info = dataset_info.read_info(folder)
    if info.alphabet != model.alphabet:
        raise UserError(
            f"{folder} has the alphabet {info.alphabet!r}, but the model has {model.alphabet!r}: "
            "set model.alphabet, or regenerate the dataset with --alphabet"
        )
    if info.max_length > model.max_length:
        raise UserError(
            f"{folder} has labels of {info.max_length} characters, but the model reads at most {model.max_length}: "
            f"use --set model.max_length={info.max_length}, or regenerate the dataset with --max-digits"
        )
    return info


def _parse_all_images(
    paths: list[str], model: Model, count: int, *, decode: bool
) -> tuple[tf.Tensor, list[dict[str, np.ndarray]]]:
    """Return all images as one tensor, and the other fields in parts; the images are held twice at most."""
    shape = (count, model.image_height, model.image_width, 3) if decode else (count,)
    images, done, parts = np.empty(shape, np.uint8 if decode else object), 0, []
    for part in _parse_all(paths, model, decode=decode):
        new = part.pop("image")
        images[done : done + len(new)] = new
        done += len(new)
        parts.append(part)
    with tf.device("CPU"):
        return tf.convert_to_tensor(images[:done]), parts


def _parse_all(paths: list[str], model: Model, *, decode: bool) -> Any:
    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = records.parse_batch(serialized, model.max_length)
        encoded = batch.pop("image/encoded")
        images = preprocess.decode_and_fit(encoded, model) if decode else None
        batch["image"] = encoded if images is None else images
        batch["corners"] = number_corners.parse(serialized, encoded, batch["box"], model)
        batch["fingerprints"] = leakage.fingerprints(batch["image/key"], encoded, images)
        return batch

    dataset = tf.data.TFRecordDataset(paths).batch(PARSE_BATCH)
    dataset = dataset.map(graph.as_written(parse), num_parallel_calls=os.cpu_count())
    try:
        yield from untuned(dataset.prefetch(2)).as_numpy_iterator()
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        _check_images(paths)
        folders = sorted({path.rsplit("/", 1)[0] for path in paths})
        raise UserError(
            f"a record in {', '.join(folders)} is damaged ({error.message.splitlines()[0]}): regenerate the dataset"
        ) from error


def _check_images(paths: list[str]) -> None:
    """Check that all images can be decoded, to find the cause of a failure.

    Raises:
      UserError: one cannot be decoded; the message names it.
    """
    for path in paths:
        records_of = tf.data.TFRecordDataset(path).apply(tf.data.experimental.ignore_errors())
        for data in untuned(records_of).as_numpy_iterator():
            try:
                record = records.from_example(data)
                preprocess.decode(tf.constant(record.encoded))
            except Damaged:
                continue
            except tf.errors.InvalidArgumentError as error:
                raise UserError(
                    f"{path}: TensorFlow cannot decode the image of the record {record.key!r}: run prepare again with "
                    "--overwrite, which repairs or rejects such images; or remove the record if another tool wrote it"
                ) from error


def _check_unique(keys: list[str], folders: list[str]) -> None:
    if len(set(keys)) < len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise UserError(f"{', '.join(folders)}: the image {twice!r} occurs twice; give each dataset only once")


def _with_end(ids: np.ndarray, model: Model) -> np.ndarray:
    padded = np.pad(ids, ((0, 0), (0, 1)), constant_values=-1)
    return np.where(padded < 0, Vocab(model.alphabet).end, padded).astype(np.int32)


def hold_out(images: LabelledImages, config: Config) -> tuple[LabelledImages, LabelledImages]:
    """Split images into those to train on and those to validate on, by a rank that depends only on an image's key.

    Copies of held-out images that have other keys are left out of the training.
    """
    held = min(int(len(images) * config.data.holdout), config.data.holdout_max)
    if not held:
        raise UserError(
            f"{len(images)} training images are too few to hold {config.data.holdout:.0%} out for validation: "
            "give a dataset with a validation split, or --set data.holdout=0.2"
        )
    order = sorted(range(len(images)), key=lambda i: (zlib.crc32(images.keys[i].encode()), images.keys[i]))
    training, validating = np.sort(order[held:]), np.sort(order[:held])
    twins = leakage.seen(images.fingerprints[training], images.fingerprints[validating])
    if twins.any():
        log.info("%d images are not trained on, since copies of them with other keys are held out", twins.sum())
    return images.select(training[~twins]), images.select(validating)


def training_batches(
    images: LabelledImages, config: Config, *, first_step: int, index: int = 0, slices: int = 1
) -> tf.data.Dataset:
    """Return an endless dataset of batches from `first_step` on, or of one replica's slices; see `training_batch`."""
    images = replace(images, tokens=tf.constant(images.tokens), corners=tf.constant(images.corners))
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    batches = steps.map(
        graph.as_written(lambda step: training_batch(images, config, step, index=index, slices=slices)),
        num_parallel_calls=2,
        deterministic=True,
    )
    return untuned(batches.prefetch(2))


def training_batch(
    images: LabelledImages, config: Config, step: tf.Tensor, *, index: int = 0, slices: int = 1
) -> dict[str, tf.Tensor]:
    """Return the batch of a step, int64 []: `image` float32 [B, H, W, 3] in -1..1, `tokens` int32 [B, T].

    For a finder, it has `corners` float32 [B, N, 8] in pixels of the distorted image instead of the tokens.

    `batch_order` chooses the images: from all datasets shuffled together or, if `data.shares` are given, in these
    proportions. With several `slices`, return only the slice at `index`, of size B: every `slices`-th image, so that
    each slice has images of every dataset in the same proportions.

    Raises:
      UserError: the shares do not fit the datasets.
    """
    indices = batch_order.batch_indices(step, *places(images, config), seed=config.seed)[index::slices]
    seed = tf.cast(tf.stack([tf.constant(config.seed, tf.int64), step * slices + index]), tf.int32)
    distorted = preprocess.normalise(augment.distort(images.at(indices), config.distortion, seed=seed))
    if not config.model.finds:
        return {"image": distorted, "tokens": tf.gather(images.tokens, indices)}
    corners = tf.gather(images.corners, indices)
    points = tf.reshape(corners, [tf.shape(corners)[0], -1, 2])
    moved = augment.move(points, config.model.image_height, config.model.image_width, config.distortion, seed=seed)
    return {"image": distorted, "corners": tf.reshape(moved, tf.shape(corners))}


def places(images: LabelledImages, config: Config) -> tuple[list[int], list[int]]:
    """Return how many images each dataset has, and how many places in a batch it gets.

    Raises:
      UserError: the shares do not fit the datasets.
    """
    if not config.data.shares:
        return [len(images)], [config.data.batch_size]
    counts = np.unique(images.datasets, return_counts=True)[1].tolist()
    return counts, batch_order.slots(counts, config.data.shares, config.data.batch_size)


def reading_batches(images: LabelledImages, batch_size: int) -> tf.data.Dataset:
    """Return batches of every image once, in order: float32 [B, H, W, 3] in -1..1, the last batch smaller."""
    indices = tf.data.Dataset.range(len(images)).batch(batch_size)
    batches = indices.map(graph.as_written(lambda i: preprocess.normalise(images.at(i))), num_parallel_calls=2)
    return untuned(batches.prefetch(2))
