"""Compare a dataset, byte for byte, with its description."""

import json
from collections import Counter

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing
from beam_pipelines.sharding.counted_file import CountedFile
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.data.formats.dataset_info import DatasetInfo, Shard, Split
from trainer.data.formats.tfrecord import Damaged

DRAIN_BYTES = 2**20


def find(folder: str, info: DatasetInfo) -> list[str]:
    """Return the errors in a dataset, one line each; empty if it is intact.

    Errors are missing, extra, truncated, lengthened and changed shards, and inconsistent counts.
    """
    # Missing files are found by listing, since each file system has its own exception for opening one.
    names = sorted(listing.files(folder))
    findings = []
    for name, split in sorted(info.splits.items()):
        sources: Counter[str] = Counter()
        lengths: Counter[str] = Counter()
        damaged = []
        for shard in split.shards:
            if shard.name in names:
                damaged += _check_shard(folder, shard, sources, lengths)
            else:
                damaged.append(f"{shard.name}: it is missing")
        findings += damaged or _check_split(name, split, sources, lengths)
    return findings + _extra(names, info) + _check_rejects(folder, names, info)


def _check_shard(folder: str, shard: Shard, sources: Counter, lengths: Counter) -> list[str]:
    """Read one shard, add its records to the counters, and return its errors."""
    count = 0
    try:
        with FileSystems.open(FileSystems.join(folder, shard.name), compression_type="uncompressed") as file:
            counted = CountedFile(file)
            try:
                for data in tfrecord.read_framed(counted):
                    record = records.from_example(data)
                    sources[record.source] += 1
                    lengths[str(len(record.text))] += 1
                    count += 1
            except Damaged as error:
                while counted.read(DRAIN_BYTES):
                    pass
                size = "" if counted.bytes == shard.bytes else f" ({_size(counted.bytes, shard)})"
                return [f"{shard.name}: {error}{size}"]
    except (OSError, BeamIOError) as error:
        return [f"{shard.name}: it cannot be read: {error}"]
    wrong = []
    if counted.bytes != shard.bytes:
        wrong.append(_size(counted.bytes, shard))
    if count != shard.records:
        wrong.append(f"{count:,} records, {dataset_info.INFO_FILE} says {shard.records:,}")
    if counted.crc32c != shard.crc32c:
        wrong.append(f"CRC-32C {counted.crc32c}, {dataset_info.INFO_FILE} says {shard.crc32c}")
    return [f"{shard.name}: {'; '.join(wrong)}"] if wrong else []


def _size(found: int, shard: Shard) -> str:
    return f"{found:,} bytes, {dataset_info.INFO_FILE} says {shard.bytes:,}"


def _check_split(name: str, split: Split, sources: Counter, lengths: Counter) -> list[str]:
    """Check the counts of a split whose shards are intact."""
    asked = {"records": split.records, "sources": split.sources, "lengths": split.lengths}
    found = {"records": sum(sources.values()), "sources": dict(sources), "lengths": dict(lengths)}
    return [
        f"split {name}: {what} {found[what]}, {dataset_info.INFO_FILE} says {asked[what]}"
        for what in asked
        if found[what] != asked[what]
    ]


def _extra(names: list[str], info: DatasetInfo) -> list[str]:
    """Return an error for each file that looks like a shard but is not in the description."""
    known = {shard.name for split in info.splits.values() for shard in split.shards}
    extra = [name for name in names if ".tfrecord-" in name and name not in known]
    return [f"{name}: {dataset_info.INFO_FILE} does not list it" for name in extra]


def _check_rejects(folder: str, names: list[str], info: DatasetInfo) -> list[str]:
    written = sum(split.records for split in info.splits.values())
    findings = []
    if info.records_in != written + sum(info.rejects.values()):
        findings.append(
            f"{dataset_info.INFO_FILE}: {info.records_in:,} in, but {written:,} written, {info.rejects} rejected"
        )
    if dataset_info.REJECTS_FILE not in names:
        return [*findings, f"{dataset_info.REJECTS_FILE}: it is missing"]
    try:
        with FileSystems.open(FileSystems.join(folder, dataset_info.REJECTS_FILE)) as file:
            listed = dict(Counter(json.loads(line)["reason"] for line in file.read().decode().splitlines()))
    except (OSError, BeamIOError, ValueError, KeyError, TypeError) as error:
        return [*findings, f"{dataset_info.REJECTS_FILE}: it cannot be read: {error}"]
    if listed != info.rejects:
        findings.append(f"{dataset_info.REJECTS_FILE}: {listed}, {dataset_info.INFO_FILE} says {info.rejects}")
    return findings
