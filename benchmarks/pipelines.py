"""Measure Beam's overhead over a plain loop, the gain from a second worker, and memory growth with the records.

Each measurement runs in its own process; the ways to do the same work alternate, and medians are compared.
"""

import argparse
import csv
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beam_pipelines import draw
from beam_pipelines.dataset.write_records import DescribeDataset, MakeRecord, WriteRecords
from beam_pipelines.inputs import csv_file, labelled
from beam_pipelines.inputs.crops import CropPolicy
from beam_pipelines.runs.prepare import MakeLabelledRecord
from beam_pipelines.sharding import beam_options, shards
from beam_pipelines.sharding.shards import Reject, ShardSpec
from benchmarks import rows
from benchmarks.rows import LOWER, Row
from trainer import cli
from trainer.data.formats import dataset_info, records, tfrecord
from trainer.data.formats.output_names import DATASET
from trainer.data.images.megapixels import DEFAULT_MEGAPIXELS
from trainer.vocab import DIGITS, Vocab

PLAIN, BEAM = "plain loop", "Beam, in process"
MOST_FOR_BEAM = 1.10  # times the seconds of a plain loop: the target
SHARDS = 16
TWO_WORKERS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
MEGABYTE = 2**20


@dataclass(frozen=True)
class OneSize:
    """Creates records of 1 KB at almost no cost, so that 500,000 of them take a minute."""

    def key(self, item: Any) -> str:
        return str(item)

    def __call__(self, item: Any) -> records.Record:
        return records.Record(bytes(1024), "png", "key", "1", "none")


def plain_loop(specs: list[ShardSpec], make: MakeRecord) -> None:
    """Write the same records to the same files without Beam."""
    vocab = Vocab(DIGITS)
    for spec in specs:
        with open(spec.path, "wb") as file:
            for item in spec.items:
                try:
                    record = make(item)
                except Reject:
                    continue
                tfrecord.write_framed(file, records.to_example(record, vocab))


def beam(specs: list[ShardSpec], make: MakeRecord, engine: list[str]) -> None:
    """Run the pipeline as the commands do, including verification."""
    vocab = Vocab(DIGITS)
    options = beam_options.parse(engine)
    output = str(Path(specs[0].path).parent)
    shards.run(
        specs,
        WriteRecords(make, vocab),
        DescribeDataset(vocab, [], {}, {}),
        output=output,
        names=DATASET,
        options=options,
    )


def images_as_records(way: str, count: int, images: str, output: str) -> None:
    """Run `prepare` on a CSV file, its rows repeated up to `count`: read, decode and check each image."""
    source = csv_file.open_csv(images, None)
    rows = labelled.survey(source, [("train", 1.0)], seed=0).splits
    found = [row for split in rows.values() for row in split]
    items = [found[i % len(found)] for i in range(count)]
    whole = CropPolicy("whole", size=64, max_side=256, context=(0.0, 0.0), seed=0)
    make = MakeLabelledRecord(source, frozenset(), whole, Vocab(DIGITS), 5, "png", DEFAULT_MEGAPIXELS)
    specs = shards.deal(items, output=output, split="train", num_shards=SHARDS, name=dataset_info.shard_name)
    ways: dict[str, Callable[[], None]] = {
        PLAIN: lambda: plain_loop(specs, make),
        BEAM: lambda: beam(specs, make, []),
        "Beam, 2 workers": lambda: beam(specs, make, TWO_WORKERS),
    }
    ways[way]()


def constant_records(way: str, count: int, images: str, output: str) -> None:
    """Write records of 1 KB from indices."""
    specs = shards.deal(range(count), output=output, split="train", num_shards=SHARDS, name=dataset_info.shard_name)
    beam(specs, OneSize(), [])


def rows_of_a_table(way: str, count: int, images: str, output: str) -> None:
    """Write records of 1 KB from the rows of a CSV file, whose positions `prepare` keeps in memory."""
    table = Path(output).parent / "labels.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *((f"{i:06d}.png", "123") for i in range(count))])
    items = labelled.survey(csv_file.open_csv(str(table), None), [("train", 1.0)], seed=0).splits["train"]
    beam(
        shards.deal(items, output=output, split="train", num_shards=SHARDS, name=dataset_info.shard_name), OneSize(), []
    )


Work = Callable[[str, int, str, str], None]


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _child(work: Work, way: str, count: int, images: str, output: str, answer: Any) -> None:
    begin, cpu = time.perf_counter(), _cpu_seconds()
    work(way, count, images, output)
    seconds, cpu = time.perf_counter() - begin, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux reports kilobytes
    size = sum(path.stat().st_size for path in Path(output).glob("*.tfrecord-*"))
    answer.send({"seconds": seconds, "cpu_seconds": cpu, "peak_megabytes": peak / MEGABYTE, "bytes": size})


def measure(work: Work, way: str, count: int, images: str) -> dict[str, float]:
    """Do the work in a new process; return its seconds without Python's startup, its peak memory and output size."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        output.mkdir()
        process = context.Process(target=_child, args=(work, way, count, images, str(output), theirs))
        process.start()
        theirs.close()
        answer = ours.recv()
        process.join()
    return answer


def compare(count: int, repeats: int, images: str) -> list[Row]:
    """Compare the three ways, alternating. Other load on the machine affects CPU seconds less than seconds."""
    ways = (PLAIN, BEAM, "Beam, 2 workers")
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            runs[way].append(measure(images_as_records, way, count, images))
    sizes = {done["bytes"] for way in ways for done in runs[way]}
    assert len(sizes) == 1, f"the ways wrote different amounts: {sizes}"
    print(f"\n{count:,} images, {sizes.pop() / MEGABYTE:,.0f} MB")
    found = []
    for key, unit in (("seconds", "s"), ("cpu_seconds", "CPU s")):
        plain, *others = (Row(f"{way}, {unit}", unit, [done[key] for done in runs[way]], LOWER) for way in ways)
        one, two = (row.relative_to(plain) for row in others)
        found += [plain, replace(one, at_most=MOST_FOR_BEAM if key == "seconds" else None), two]
    return found


def memory(few: int, many: int, images: str) -> list[Row]:
    """Measure peak memory with few and with many records, in process."""
    found = []
    for name, work in (("records from indices", constant_records), ("records from CSV rows", rows_of_a_table)):
        small, large = (
            Row(f"{name}, {count:,}", "MB", [measure(work, "", count, images)["peak_megabytes"]], LOWER)
            for count in (few, many)
        )
        found += [small, large.relative_to(small)]
    return found


def main() -> None:
    """Run the command line."""
    parser = cli.parser(description=__doc__, example="python -m benchmarks.pipelines --json pipelines.json")
    parser.add_argument("--images", help="a folder with labels.csv; by default 500 synthetic images")
    parser.add_argument("--count", type=int, default=50_000, help="records in the comparison")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each way")
    parser.add_argument("--few", type=int, default=10_000, help="records in the small memory measurement")
    parser.add_argument("--many", type=int, default=500_000, help="records in the large one")
    rows.add_argument(parser)
    args: argparse.Namespace = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not args.images:
            draw.main(["--count", "500", "--output", f"{folder}/drawn"])
        images = args.images or f"{folder}/drawn"
        found = [*compare(args.count, args.repeats, images), *memory(args.few, args.many, images)]
    print("\n".join(map(rows.line, found)))
    rows.write(args.json, found)


if __name__ == "__main__":
    main()
