"""Measure the memory and time that `score` takes to list simulated images: `python -m benchmarks.listing`."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.scoring import find_images, image_list
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.listing import File
from benchmarks import rows
from benchmarks.rows import LOWER, Row


def main() -> None:
    args = _parser().parse_args()
    if args.alone:
        print(json.dumps(_measured(args.counts[0])))
        return
    print("| images | CPU s | peak MB | MB of the list |\n|---|---|---|---|", flush=True)
    found = []
    for count in args.counts:
        runs = [_apart(count) for _ in range(args.repeats)]
        seconds, peak, size = ([run[key] for run in runs] for key in ("seconds", "peak", "size"))
        found += [
            Row(f"{count:,} images, CPU", "CPU ms/1,000 images", [1e6 * each / count for each in seconds], LOWER),
            Row(f"{count:,} images, memory", "MB", peak, LOWER),
        ]
        middle = statistics.median
        print(f"| {count:,} | {middle(seconds):.1f} | {middle(peak):.0f} | {middle(size):.1f} |", flush=True)
    first = found[:2]  # of the smallest count, which the others are compared with
    rows.write(args.json, [*first, *(row.relative_to(first[i % 2]) for i, row in enumerate(found[2:]))])


def _apart(count: int) -> dict[str, float]:
    """List a simulated folder in a new process."""
    command = [sys.executable, "-m", "benchmarks.listing", "--alone", "--counts", str(count)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _measured(count: int) -> dict[str, float]:
    """List a simulated folder in this process: CPU seconds, peak memory and the size of the list in MB."""

    def below(folder: str, on_error: object) -> Iterator[File]:
        # A prime number, so that each name comes once, but not in order.
        return (File(f"{folder}/photos of a day/{i * 7919 % count:09d}.jpg", 10**6, 1e9) for i in range(count))

    listing.below = below
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.process_time()
        found = len(find_images.find([scratch], scratch).items)
        seconds = time.process_time() - begin
        size = (Path(scratch) / image_list.IMAGES_FILE).stat().st_size
    if found != count:
        sys.exit(f"{found} of {count} images were listed")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak": peak, "size": size / 1e6}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="images")
    parser.add_argument("--repeats", type=int, default=1, help="times that each count is listed")
    rows.add_argument(parser)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
