"""The Beam transform that writes records, and the function that describes the resulting dataset."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import apache_beam as beam

from beam_pipelines.dataset import tfds_metadata
from beam_pipelines.sharding import progress, shards
from beam_pipelines.sharding.counted_file import CountedFile
from beam_pipelines.sharding.shards import Reject, ShardResult, ShardSpec
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.vocab import Vocab


class MakeRecord(Protocol):
    """Builds a record from an item of a shard spec; must be picklable."""

    def __call__(self, item: Any) -> records.Record:
        """Return the record. Raise `Reject` for an item that cannot become one."""

    def key(self, item: Any) -> str:
        """Return the item's name in the rejects file."""


class WriteRecords(beam.PTransform):
    """`PCollection[ShardSpec]` -> TFRecord files and a `PCollection[ShardResult]`."""

    def __init__(self, make: MakeRecord, vocab: Vocab) -> None:
        super().__init__()
        self.make, self.vocab = make, vocab

    def expand(self, specs):
        return specs | beam.ParDo(_WriteShard(self.make, self.vocab))


class _WriteShard(beam.DoFn):
    def __init__(self, make: MakeRecord, vocab: Vocab) -> None:
        self.make, self.vocab = make, vocab

    def process(self, spec: ShardSpec) -> Iterable[ShardResult]:
        begin = time.monotonic()
        with shards.shard_file(spec) as file:
            result = self._write(spec, file)
        shards.count_metrics(result, time.monotonic() - begin)
        yield result

    def _write(self, spec: ShardSpec, file: BinaryIO) -> ShardResult:
        result = ShardResult(spec.path, spec.split, items=len(spec.items))
        counted = CountedFile(file)
        begin, making = time.perf_counter(), 0.0
        for item in spec.items:
            start = time.perf_counter()
            try:
                record = self.make(item)
            except Reject as reject:
                result.rejects.append((self.make.key(item), reject.reason, reject.detail))
                continue
            finally:
                making += time.perf_counter() - start
            tfrecord.write_framed(counted, records.to_example(record, self.vocab))
            result.written += 1
            result.tally("source", record.source)
            result.tally("length", len(record.text))
        result.bytes, result.crc32c = counted.bytes, counted.crc32c
        progress.count_seconds("make", making)
        progress.count_seconds("write", time.perf_counter() - begin - making)
        return result


@dataclass(frozen=True)
class DescribeDataset:
    """Builds `dataset_info.json`, which repeats `command`, `request` and `notes`, and the files for TFDS."""

    vocab: Vocab
    command: list[str]
    request: dict[str, Any]
    notes: dict[str, int]

    def __call__(self, results: list[ShardResult]) -> dict[str, str]:
        info = dataset_info.DatasetInfo(
            alphabet=self.vocab.alphabet,
            splits={name: _split(results, name) for name in sorted({result.split for result in results})},
            records_in=sum(result.items for result in results),
            rejects=shards.reject_counts(results),
            command=self.command,
            request=self.request,
            notes=self.notes,
        )
        return {dataset_info.INFO_FILE: info.to_json(), **tfds_metadata.files(info)}


def _split(results: list[ShardResult], name: str) -> dataset_info.Split:
    split = dataset_info.Split()
    sources: Counter[str] = Counter()
    lengths: Counter[str] = Counter()
    for result in results:
        if result.split == name:
            file = result.path.replace("\\", "/").rsplit("/", 1)[-1]
            split.shards.append(dataset_info.Shard(file, result.written, result.bytes, result.crc32c))
            split.records += result.written
            sources.update(result.tallies.get("source", {}))
            lengths.update(result.tallies.get("length", {}))
    split.sources, split.lengths = dict(sorted(sources.items())), dict(sorted(lengths.items()))
    return split
