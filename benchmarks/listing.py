"""Measure the memory and time that `score` takes to list simulated images: `python -m benchmarks.listing`."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.scoring import find_images, image_list
from beam_pipelines.sharding import listing
from beam_pipelines.sharding.listing import File


def main() -> None:
    args = _parser().parse_args()
    if args.alone:
        print(_measured(args.counts[0]))
        return
    print("| images | CPU s | peak MB | MB of the list |\n|---|---|---|---|", flush=True)
    for count in args.counts:
        subprocess.run([sys.executable, "-m", "benchmarks.listing", "--alone", "--counts", str(count)], check=True)


def _measured(count: int) -> str:
    """List a simulated folder in this process, and return a row of the table."""

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
    return f"| {count:,} | {seconds:.1f} | {peak:.0f} | {size / 1e6:.1f} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="images")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
