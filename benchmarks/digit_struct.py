"""Compare h5py, reference by reference, with our reader on a full-size digitStruct.mat: entries/s and memory.

python -m benchmarks.digit_struct --input digitStruct.mat --output digit_struct.json

Each measurement runs in its own process, one after the other, and both readers must read the same entries.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import random
import re
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py

from beam_pipelines.inputs.digit_struct import FIELDS, DigitBox, DigitStruct, Entry
from beam_pipelines.inputs.labelled import local_file


@dataclass(frozen=True)
class Measured:
    """One measurement.

    Attributes:
      way: the reader and the entries it read.
      entries: how many were read.
      seconds: of the wall clock.
      cpu_seconds: of this process; less affected by other load on the machine.
      megabytes: the peak memory that reading added to that of the open file.
      digest: of the entries read.
    """

    way: str
    entries: int
    seconds: float
    cpu_seconds: float
    megabytes: float
    digest: str


def plainly(path: str, indices: Iterable[int]) -> Iterable[Entry]:
    """Read entries as other readers of this format do: each reference through h5py."""
    with h5py.File(path, "r") as file:
        names, boxes = file["digitStruct/name"], file["digitStruct/bbox"]
        for i in indices:
            group = file[boxes[i, 0]]
            columns = []
            for field in FIELDS:
                values = group[field][()]
                one = len(values) == 1
                columns.append([values[0, 0]] if one else [file[reference][0, 0] for reference in values[:, 0]])
            digits = tuple(DigitBox(int(row[0]) % 10, *map(float, row[1:])) for row in zip(*columns, strict=True))
            yield Entry("".join(map(chr, file[names[i, 0]][:, 0])), digits)


def ours(path: str, indices: Iterable[int]) -> Iterable[Entry]:
    reader = DigitStruct(local_file(path), path)
    return map(reader.entry, indices)


def names(path: str, indices: Iterable[int]) -> Iterable[str]:
    reader = DigitStruct(local_file(path), path)
    return map(reader.name, indices)


def measure(way: str, path: str, indices: list[int]) -> Measured:
    """Measure reading the entries, discarding each."""
    read = {"h5py": plainly, "ours": ours, "ours, names": names}[way.split(":")[0]]
    digest = hashlib.sha256()
    entries = iter(read(path, indices))
    digest.update(repr(next(entries)).encode())
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    begin, cpu = time.perf_counter(), time.process_time()
    for entry in entries:
        digest.update(repr(entry).encode())
    return Measured(
        way,
        len(indices),
        time.perf_counter() - begin,
        time.process_time() - cpu,
        _memory("VmHWM") - before,
        digest.hexdigest()[:12],
    )


def _memory(name: str) -> float:
    """Return the megabytes of memory held now (VmRSS) or at most (VmHWM)."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _apart(jobs: list[tuple[str, list[int]]], path: str) -> list[Measured]:
    """Run jobs at the same time, each in a fresh process."""
    with ProcessPoolExecutor(len(jobs), multiprocessing.get_context("spawn")) as pool:
        return [done.result() for done in [pool.submit(measure, way, path, indices) for way, indices in jobs]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a full-size digitStruct.mat")
    parser.add_argument("--output", required=True, help="the JSON file to write")
    parser.add_argument("--plain-entries", type=int, help="number of entries to read by h5py; default all")
    args = parser.parse_args()
    count = len(DigitStruct(local_file(args.input), args.input))
    order = list(range(count))
    plain = order[: args.plain_entries]
    shuffled = random.Random(0).sample(order, count)
    rows = [
        *_apart([("h5py: in order", plain)], args.input),
        *_apart([("ours: the same", plain)], args.input),
        *_apart([("ours: a tenth", order[: count // 10])], args.input),
        *_apart([("ours: all, in order", order)], args.input),
        *_apart([("ours: all, in a random order", shuffled)], args.input),
        *_apart([("ours, names: all", order)], args.input),
        *_apart([(f"ours: half {half} of two, at the same time", shuffled[half::2]) for half in (0, 1)], args.input),
    ]
    if rows[0].digest != rows[1].digest:
        sys.exit("h5py and ours read different entries")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    size = os.path.getsize(args.input) / 1e6
    print(f"{count:,} entries, {size:.0f} MB; {machine}; Python {platform.python_version()}, h5py {h5py.__version__}\n")
    print(
        "| way | entries | s | entries/s | CPU s | x h5py | x h5py, CPU | MB added |\n|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        faster = (row.entries / rows[0].entries) / (row.seconds / rows[0].seconds)
        cpu = (row.entries / rows[0].entries) / (row.cpu_seconds / rows[0].cpu_seconds)
        print(
            f"| {row.way} | {row.entries:,} | {row.seconds:.1f} | {row.entries / row.seconds:,.0f} "
            f"| {row.cpu_seconds:.1f} | {faster:.1f} | {cpu:.1f} | {row.megabytes:.0f} |"
        )
    result = {"input": os.path.basename(args.input), "entries": count, "megabytes": size, "machine": machine}
    Path(args.output).write_text(json.dumps({**result, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
