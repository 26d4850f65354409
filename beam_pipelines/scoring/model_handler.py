"""A Beam ModelHandler for an exported SavedModel, which reads one shard of images at a time."""

import heapq
import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from beam_pipelines.scoring import carried_rows, model_store, predictions
from beam_pipelines.scoring.prefetch import FetchedImage, fetched
from beam_pipelines.sharding import shards
from beam_pipelines.sharding.counted_file import CountedFile
from beam_pipelines.sharding.shards import ShardResult, ShardSpec
from trainer.data.images import memory_budget
from trainer.data.images.image_kinds import limit_megapixels
from trainer.data.images.megapixels import DEFAULT_MEGAPIXELS
from trainer.data.images.model_input import ModelInput
from trainer.data.pipeline import batches
from trainer.inference.exports import exported_model
from trainer.inference.exports.exported_model import Answer, ExportedModel
from trainer.inference.photos.region_options import AUTO, MOST_NUMBERS


@dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
      batch_size: images per batch.
      beam_width: number of hypotheses in the beam.
      candidates: how many per row.
      min_confidence: lowest confidence of an accepted row.
      file_format: a key of `predictions.WRITERS`.
      max_megapixels: larger images are rejected.
      max_numbers: maximum number of answers per photo.
      whole: read each image as a whole, even with a model that finds numbers.
      precision: see `exported_model.load`.
    """

    batch_size: int
    beam_width: int
    candidates: int
    min_confidence: float
    file_format: str
    max_megapixels: float = DEFAULT_MEGAPIXELS
    max_numbers: int = MOST_NUMBERS
    whole: bool = False
    precision: str = AUTO


class ReadShards(ModelHandler[ShardSpec, ShardResult, ExportedModel]):
    """Reads the images of a shard and writes its predictions.

    For RunInference, one example is one shard, the unit of work, so images are batched within it, in full batches from
    the start. Beam's own TensorFlow handlers do not accept SavedModel folders under Keras 3.
    """

    def __init__(self, path: str, reading: Reading) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.path, self.reading = path, reading

    def load_model(self) -> ExportedModel:
        """Load the model, once per process."""
        memory_budget.return_large_blocks()  # saves 100 MB with large images, at the same speed
        limit_megapixels(self.reading.max_megapixels)
        return model_store.load(self.path, self.reading.precision)

    def run_inference(
        self, batch: Sequence[ShardSpec], model: ExportedModel, inference_args: dict[str, Any] | None = None
    ) -> Iterator[ShardResult]:
        """Write each shard of the batch, and yield its result."""
        for spec in batch:
            begin = time.monotonic()
            result = ShardResult(spec.path, spec.split, items=len(spec.items))
            with shards.shard_file(spec) as file:
                counted = CountedFile(file)
                writer = predictions.WRITERS[self.reading.file_format](counted)
                for rows in self._rows(spec, model, result):
                    writer.write(rows)
                writer.close()
            result.bytes, result.crc32c = counted.bytes, counted.crc32c
            shards.count_metrics(result, time.monotonic() - begin)
            yield result

    def _rows(self, spec: ShardSpec, model: ExportedModel, result: ShardResult) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of a shard in a few lists, sorted by key: new ones, and those carried over."""
        lists = (
            [self._row(*one, model, result) for one in zip(read, answers, strict=True)]
            for read, answers in self._read(spec, model, result)
        )
        if not any(item.kind == carried_rows.ROW for item in spec.items):
            yield from lists
            return
        carried = (self._carried(row, result) for row in carried_rows.rows_of(spec.items))
        merged = heapq.merge(itertools.chain.from_iterable(lists), carried, key=lambda row: row["key"])
        while some := list(itertools.islice(merged, self.reading.batch_size)):
            yield some

    def _carried(self, row: dict[str, Any], result: ShardResult) -> dict[str, Any]:
        row = {**row, "accepted": row["confidence"] >= self.reading.min_confidence}
        predictions.tally(result, row)
        result.tally("carried over", True)
        return row

    def _read(
        self, spec: ShardSpec, model: ExportedModel, result: ShardResult
    ) -> Iterator[tuple[Sequence[FetchedImage], list[Answer]]]:
        """Yield batches with their answers; the model reads a batch while the caller writes the previous one."""

        def answer(batch: Sequence[FetchedImage]) -> tuple[Sequence[FetchedImage], list[Answer]]:
            files, reading = [image.file for image in batch], self.reading
            answers = model.read(
                files,
                beam_width=reading.beam_width,
                candidates=reading.candidates,
                most=reading.max_numbers,
                whole=reading.whole,
            )
            without_files = [image._replace(file=b"") for image in batch]  # 32 MB less to keep until rows are written
            return without_files, [a.scaled(image.factors) for a, image in zip(answers, batch, strict=True)]

        with ThreadPoolExecutor(1) as ahead:
            running = None
            for batch in self._batches(spec, exported_model.input_of(model.info), result):
                following = ahead.submit(answer, batch)
                if running:
                    yield running.result()
                running = following
            if running:
                yield running.result()

    def _batches(self, spec: ShardSpec, wanted: ModelInput, result: ShardResult) -> Iterator[list[FetchedImage]]:
        """Yield full batches of the readable images; the last batch, and those of large images, may be smaller."""

        def readable() -> Iterator[FetchedImage]:
            items = [item for item in spec.items if item.kind != carried_rows.ROW]
            for outcome in fetched(items, self.reading.batch_size, wanted):
                if isinstance(outcome, FetchedImage):
                    yield outcome
                else:
                    key, reject = outcome
                    result.rejects.append((key, reject.reason, reject.detail))

        return batches.of(readable(), self.reading.batch_size, lambda image: len(image.file))

    def _row(self, image: FetchedImage, answer: Answer, model: ExportedModel, result: ShardResult) -> dict[str, Any]:
        row = {
            "key": image.key,
            "text": answer.candidates[0]["text"],
            **_found(answer),
            "candidates": answer.candidates,
            "confidence": answer.confidence,
            "accepted": answer.confidence >= self.reading.min_confidence,
            "found_as": image.found_as,
            **({} if image.label is None else {"label": image.label}),
            "model": model.info["fingerprint"],
        }
        predictions.tally(result, row)
        result.tally("precision", "bfloat16" if model.in_bfloat16 else "float32")
        return row

    def share_model_across_processes(self) -> bool:
        return False


def _found(answer: Answer) -> dict[str, Any]:
    """Return the columns that only rows of models that find numbers have."""
    if answer.numbers is None:
        return {}
    numbers = [{name: number[name] for name in ("text", "confidence", "box")} for number in answer.numbers]
    return {"box": answer.box, "numbers": numbers, "numbers_cut_off": answer.numbers_cut_off}
