"""The section on the data: how many images each dataset has, of which lengths and digits, and what they look like."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import tensorflow as tf

from trainer.cli import UserError
from trainer.config.schema import Config
from trainer.data.formats import dataset_info, records
from trainer.data.formats.dataset_info import DatasetInfo
from trainer.data.formats.tfrecord import Damaged
from trainer.data.pipeline import augment, preprocess
from trainer.data.pipeline.untuned import untuned
from trainer.files import whole_file
from trainer.reporting import report_images
from trainer.reporting.report_images import Thumbnail
from trainer.reporting.section import Section, located, named_if_damaged
from trainer.workdir import files

log = logging.getLogger(__name__)

MOST_COUNTED = 5_000  # records per dataset whose characters are counted
SAMPLES = 8
KINDS = (("data", "training"), ("validation_data", "validation"))


@dataclass(frozen=True)
class Dataset:
    """A dataset, or why it cannot be read.

    Attributes:
      folder: its path, as given to the training.
      role: what it is for.
      problem: why it cannot be read, empty if it can.
      info: its description.
      characters: how often each character occurs in the first `counted` labels.
      fingerprint: as `dataset_info.fingerprint` returns it.
    """

    folder: str
    role: str
    problem: str = ""
    info: DatasetInfo | None = None
    characters: tuple[tuple[str, int], ...] = ()
    counted: int = 0
    fingerprint: str = ""

    @property
    def lengths(self) -> list[tuple[str, int]]:
        """The number of images by length of the label, over all splits."""
        total: Counter[int] = Counter()
        for split in self.info.splits.values() if self.info else ():
            total.update({int(length): count for length, count in split.lengths.items()})
        return [(str(length), count) for length, count in sorted(total.items())]


@dataclass(frozen=True)
class Sample:
    """A training image before and after distortion."""

    label: str
    before: Thumbnail
    after: Thumbnail


def section(workdir: str, config: Config, folder: str | None) -> Section:
    """Return the section; `folder` is the working directory of the training, None if unknown.

    Raises:
      UserError: the list of the datasets is damaged.
    """
    path = f"{workdir}/{files.INPUTS_FILE}"
    with named_if_damaged(path, "run the trainer.train command of this run again, which rewrites it"):
        inputs = whole_file.read_json(path, advice="run the trainer.train command of this run again") or {}
        named = [(str(place), role) for key, role in KINDS for place in inputs.get(key) or []]
    found = [_dataset(place, located(place, folder), role) for place, role in named]
    readable = [located(one.folder, folder) for one in found if one.info and one.role == "training"]
    samples = _samples(readable, config)
    return Section("Data", "data.html", {"datasets": found, "samples": samples, "most_counted": MOST_COUNTED})


def _dataset(named: str, place: str, role: str) -> Dataset:
    try:
        info = dataset_info.read_info(place)
        texts = [record.text for record in islice(_records(place, info), MOST_COUNTED)]
    except (UserError, Damaged, tf.errors.OpError) as error:
        log.warning("the report does not describe %s: %s", named, str(error).splitlines()[0])
        return Dataset(named, role, problem=str(error).splitlines()[0])
    characters = tuple(sorted(Counter("".join(texts)).items()))
    identity = dataset_info.fingerprint(info)
    return Dataset(named, role, "", info, characters, len(texts), identity)


def _records(folder: str, info: DatasetInfo) -> Iterable[records.Record]:
    """Yield the records, those of the split for training first."""
    order = sorted(info.splits, key=lambda split: (split != "train", split))
    paths = [f"{folder}/{shard.name}" for split in order for shard in info.splits[split].shards]
    for data in untuned(tf.data.TFRecordDataset(paths)).as_numpy_iterator():
        yield records.from_example(data)


def _samples(folders: list[str], config: Config) -> list[Sample]:
    """Return the first training images, equally many of each dataset, before and after distortion."""
    chosen: list[records.Record] = []
    for i, folder in enumerate(folders):
        wanted = -(-(SAMPLES - len(chosen)) // (len(folders) - i))
        chosen += islice(_records(folder, dataset_info.read_info(folder)), wanted)
    if not chosen:
        return []
    try:
        images = preprocess.decode_and_fit(tf.constant([record.encoded for record in chosen]), config.model)
    except tf.errors.InvalidArgumentError as error:
        log.warning("the report lacks samples of the data: %s", error.message.splitlines()[0])
        return []
    after = augment.distort(images, config.distortion, seed=tf.constant([config.seed, 0]))
    pairs = zip(images.numpy(), tf.cast(after, tf.uint8).numpy(), strict=True)
    thumbnails = [(report_images.of_pixels(before), report_images.of_pixels(distorted)) for before, distorted in pairs]
    return [Sample(record.text, *both) for record, both in zip(chosen, thumbnails, strict=True)]
