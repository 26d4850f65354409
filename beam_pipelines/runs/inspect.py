"""Show what a dataset contains, and find errors in it: `python -m beam_pipelines.inspect --help`."""

import argparse
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from PIL import Image

from beam_pipelines.dataset import coco_export, contact_sheet, verify, writer
from beam_pipelines.dataset.coco_export import CocoExport
from beam_pipelines.sharding import outputs, shards
from trainer.cli import UserError
from trainer.data.formats import records, tfrecord
from trainer.data.formats.dataset_info import DatasetInfo
from trainer.data.formats.records import Record
from trainer.data.formats.tfrecord import Damaged
from trainer.data.images import image_files
from trainer.exit_status import BAD_RESULT_STATUS

NAMED = 3  # keys listed in a message


@dataclass
class DatasetSummary:
    """The result of one pass over all records."""

    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    unreadable: int = 0  # images whose header is damaged
    unsure: list[str] = field(default_factory=list)  # keys of images that TensorFlow may refuse

    def add(self, split: str, record: Record) -> None:
        self.splits[split] += 1
        self.sources[record.source] += 1
        self.lengths[len(record.text)] += 1
        self.characters.update(record.text)
        if not image_files.plain_type(record.encoded):
            self.unsure.append(record.key)
        try:
            width, height = Image.open(io.BytesIO(record.encoded)).size
        except OSError:
            self.unreadable += 1
        else:
            self.widths.append(width)
            self.heights.append(height)


def walk(folder: str, info: DatasetInfo) -> Iterator[tuple[str, Record]]:
    """Yield all records with their splits, in the order of the shards.

    Raises:
      UserError: a shard is missing or damaged.
    """
    sizes = outputs.sizes(folder)
    for split in sorted(split for split in info.splits if info.splits[split].records):
        for shard in info.splits[split].shards:
            if shard.name not in sizes:
                raise UserError(
                    f"{FileSystems.join(folder, shard.name)} is missing; run with --verify to list all errors"
                )
        for path in writer.shard_paths(folder, info, split):
            try:
                with FileSystems.open(path, compression_type="uncompressed") as file:
                    for data in tfrecord.read_framed(file):
                        yield split, records.from_example(data)
            except (OSError, BeamIOError, Damaged) as error:
                raise UserError(f"{path}: {error}; run with --verify to list all errors") from error


def report(info: DatasetInfo, contents: DatasetSummary) -> str:
    """Return a human-readable report of the contents."""
    splits, total = contents.splits, sum(contents.splits.values())
    lines = [f"{total:,} records of {info.records_in:,} images, alphabet {info.alphabet!r}"]
    lines += _table("split", splits)
    lines += _table("source", contents.sources)
    lines += _table("length", contents.lengths)
    lines += _table("character", {char: contents.characters[char] for char in info.alphabet})
    for name, sizes in (("width", contents.widths), ("height", contents.heights)):
        if sizes:
            lines.append(f"{name:<10} {min(sizes)} to {max(sizes)} pixels, median {np.median(sizes):g}")
    if contents.unreadable:
        lines.append(f"{contents.unreadable} images have no readable header")
    if contents.unsure:
        named = ", ".join(map(repr, contents.unsure[:NAMED])) + (", ..." if len(contents.unsure) > NAMED else "")
        lines.append(
            f"{len(contents.unsure)} images are damaged or neither PNG nor JPEG, so the trainer may refuse them "
            f"({named}): run prepare again with --overwrite, which repairs or rejects such images"
        )
    return "\n".join(lines + (_table("rejected", info.rejects) or ["rejected   none"]))


def _table(name: str, counts: dict) -> list[str]:
    """Return a line for each value, with its count, its share and a bar in proportion to that."""
    total = max(sum(counts.values()), 1)
    return [
        f"{name:<10} {value!s:<16}{count:>10,}  {count / total:>6.1%}  {'#' * round(40 * count / total)}".rstrip()
        for value, count in sorted(counts.items())
    ]


def run(args: argparse.Namespace) -> int:
    """Show or check the dataset that the command line names; return the exit status."""
    if args.sample < 1:
        raise UserError(f"--sample {args.sample}: it must be at least 1")
    if args.sheet:
        contact_sheet.check_replaceable(args.sheet, "--sheet")
    if args.coco:
        contact_sheet.check_replaceable(args.coco, "--coco", coco_export.COCO)
    folder = args.folder.rstrip("/")
    info = writer.read_info(folder)
    if args.verify:
        findings = verify.find(folder, info)
        if findings:
            print("\n".join(findings))
            return BAD_RESULT_STATUS
        shard_count = sum(len(split.shards) for split in info.splits.values())
        print(f"{folder} is intact: {shard_count} shards, all checksums and counts match")
    total = sum(split.records for split in info.splits.values())
    contents, sampled, exported = DatasetSummary(), [], CocoExport()
    chosen = set(np.random.default_rng(args.seed).permutation(total)[: args.sample]) if args.sheet else set()
    for index, (split, record) in enumerate(walk(folder, info)):
        contents.add(split, record)
        if args.coco:
            exported.add(split, record)
        if index in chosen:
            sampled.append((split, record))
    print(report(info, contents))
    if args.sheet:
        with shards.whole_file(args.sheet) as file:
            contact_sheet.draw(sampled).save(file, "PNG")
        print(f"drew {len(sampled)} of them in {args.sheet}")
    if args.coco:
        _write_coco(exported, args.coco)
    return 0


def _write_coco(exported: CocoExport, path: str) -> None:
    with shards.whole_file(path) as file:
        file.write(exported.to_json().encode())
    print(f"wrote {len(exported.images):,} images and {len(exported.annotations):,} numbers to {path}")
    if exported.unplaced:
        print(f"{exported.unplaced:,} images have a number without a box: they have no annotation")
