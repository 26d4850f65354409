"""Write the scorer's output: one row per image as JSON Lines, Parquet or CSV, and a summary that counts them."""

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from pyarrow import parquet

from beam_pipelines.scoring import endings
from beam_pipelines.scoring.image_list import IMAGES_FILE
from beam_pipelines.sharding import listing, shards
from beam_pipelines.sharding.counted_file import CountedFile
from beam_pipelines.sharding.outputs import Kind
from beam_pipelines.sharding.shards import ShardResult
from trainer.data.formats.output_names import FORMER_PREDICTIONS, PREDICTIONS

BINS = 20  # of the confidence histogram
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("text", pa.string()),
        ("box", pa.list_(pa.float64())),
        (
            "numbers",
            pa.list_(pa.struct([("text", pa.string()), ("confidence", pa.float64()), ("box", pa.list_(pa.float64()))])),
        ),
        ("numbers_cut_off", pa.bool_()),
        (
            "candidates",
            pa.list_(pa.struct([("text", pa.string()), ("log_prob", pa.float64()), ("probability", pa.float64())])),
        ),
        ("confidence", pa.float64()),
        ("accepted", pa.bool_()),
        ("found_as", pa.string()),
        ("label", pa.string()),
        ("model", pa.string()),
    ]
)


def _shards_of(text: str) -> list[str]:
    summary = json.loads(text)
    if not {"images", "rows", "rejects", "model", "request"} <= summary.keys():
        raise ValueError("not a summary of predictions")
    return [shard["name"] for shard in summary["shards"]]


KIND = Kind(PREDICTIONS, FORMER_PREDICTIONS, (IMAGES_FILE,), _shards_of)


def read_summary(folder: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the content of the summary in a finished folder, of this or an earlier version.

    Raises:
      ValueError: it is not a summary of predictions.
    """
    is_former = not listing.exists(FileSystems.join(folder, PREDICTIONS.completed))
    name = (FORMER_PREDICTIONS if is_former else PREDICTIONS).description
    with FileSystems.open(FileSystems.join(folder, name)) as file:
        text = file.read().decode()
    _shards_of(text)
    return name, json.loads(text)


def shard_name(file_format: str, index: int, count: int) -> str:
    """Return e.g. `predictions-00003-of-00008.jsonl`."""
    return f"predictions-{index:05d}-of-{count:05d}.{file_format}"


class RowWriter(Protocol):
    """Writes rows; their `label` is left out if unknown."""

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class JsonLines:
    """One JSON object per line."""

    def __init__(self, file: CountedFile) -> None:
        self.file = file

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        self.file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())

    def close(self) -> None:
        """Do nothing: the format has no footer."""


class Parquet:
    """Apache Parquet, with one row group per write."""

    def __init__(self, file: CountedFile) -> None:
        self.writer = parquet.ParquetWriter(pa.PythonFile(file, mode="w"), SCHEMA)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        self.append(pa.Table.from_pylist(list(rows), SCHEMA))

    def append(self, table: pa.Table) -> None:
        """Append a table of these columns."""
        self.writer.write_table(table)

    def close(self) -> None:
        self.writer.close()


class Csv:
    """Comma-separated values with a header and the columns of Parquet; lists are JSON, unknown values are empty."""

    def __init__(self, file: CountedFile) -> None:
        self.file = file
        file.write((",".join(SCHEMA.names) + "\n").encode())

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        lines = io.StringIO()
        out = csv.writer(lines, lineterminator="\n")
        out.writerows([_cell(name, row.get(name)) for name in SCHEMA.names] for row in rows)
        self.file.write(lines.getvalue().encode())

    def close(self) -> None:
        """Do nothing: the format has no footer."""


def _cell(column: str, value: Any) -> Any:
    as_json = value is not None and not pa.types.is_string(SCHEMA.field(column).type)
    return json.dumps(value, ensure_ascii=False) if as_json else value


WRITERS: dict[str, Callable[[CountedFile], RowWriter]] = {"jsonl": JsonLines, "parquet": Parquet, "csv": Csv}


def tally(result: ShardResult, row: dict[str, Any]) -> None:
    """Count a row for the summary."""
    text, label = row["text"], row.get("label")
    result.written += 1
    result.tally("accepted", row["accepted"])
    result.tally("confidence", min(int(row["confidence"] * BINS), BINS - 1))
    result.tally("length", len(text))
    if "numbers" in row:
        result.tally("numbers", len(row["numbers"]))
        result.tally("numbers cut off", row["numbers_cut_off"])
    if label is not None:
        result.tally("labelled", len(label))
        result.tally("labelled accepted", row["accepted"])
        if row["numbers"] == [] if "numbers" in row and not label else text == label:
            result.tally("right", len(label))
            result.tally("right accepted", row["accepted"])


@dataclass(frozen=True)
class DescribePredictions:
    """Builds `_summary.json`.

    Attributes:
      model: the contents of `model_info.json`.
      request: everything that determines the rows.
      others: files that are not images, counted by extension.
      begin: when the run began, in seconds since the epoch.
      made: from `provenance.gather`.
    """

    model: dict[str, Any]
    request: dict[str, Any]
    others: dict[str, int]
    begin: float
    made: dict[str, Any]

    def __call__(self, results: list[ShardResult]) -> dict[str, str]:
        total: dict[str, Counter] = {}
        for result in results:
            for name, counts in result.tallies.items():
                total.setdefault(name, Counter()).update(counts)
        accepted, confidence = total.get("accepted", Counter()), total.get("confidence", Counter())
        images, seconds = sum(result.items for result in results), time.time() - self.begin
        summary = {
            "images": images,
            "rows": sum(result.written for result in results),
            "accepted": accepted["True"],
            "for_review": accepted["False"],
            "carried_over": total.get("carried over", Counter())["True"],
            "rejects": shards.reject_counts(results),
            "other_files": sum(self.others.values()),
            "other_files_by_ending": endings.most_frequent(self.others),
            "accuracy": _accuracy(total),
            "numbers": dict(sorted(total["numbers"].items())) if "numbers" in total else None,
            "numbers_cut_off": total["numbers cut off"]["True"] if "numbers" in total else None,
            "lengths": dict(sorted(total.get("length", Counter()).items())),
            "precision": dict(sorted(total.get("precision", Counter()).items())),
            "confidence_histogram": [confidence[str(i)] for i in range(BINS)],
            "shards": [
                {"name": r.path.rsplit("/", 1)[-1], "rows": r.written, "bytes": r.bytes, "crc32c": r.crc32c}
                for r in results
            ],
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 1),
            "made": self.made,
            "model": self.model,
            "request": self.request,
        }
        return {PREDICTIONS.description: json.dumps(summary, indent=2) + "\n"}


def _accuracy(total: dict[str, Counter]) -> dict[str, Any] | None:
    """Return the proportion of labelled images whose whole number is correct; None if no image is labelled."""
    if "labelled" not in total:
        return None
    labelled, right = total["labelled"], total.get("right", Counter())
    labelled_accepted, right_accepted = total["labelled accepted"], total.get("right accepted", Counter())
    return {
        **_share(labelled.total(), right.total()),
        "of_accepted": _share(labelled_accepted["True"], right_accepted["True"]),
        "by_length": {length: _share(labelled[length], right[length]) for length in sorted(labelled)},
    }


def _share(examples: int, right: int) -> dict[str, Any]:
    return {"examples": examples, "right": right, "sequence_accuracy": right / examples if examples else None}
