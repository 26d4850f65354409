"""Measure the memory and time that `score` takes to list simulated images: `python -m benchmarks.listing`.

They are in a folder, listed out of order, or with `--store` in a bucket, which Google's or Amazon's client lists.
"""

import argparse
import contextlib
import json
import os
import resource
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from beam_pipelines.scoring import find_images, image_list
from beam_pipelines.scoring.sorting import Collection
from beam_pipelines.sharding import list_objects, listing
from beam_pipelines.sharding.listing import File
from benchmarks import listed_store, rows
from benchmarks.rows import LOWER, Row

COLUMNS = ("seconds", "CPU s", "listed after, s", "peak MB", "temporary MB", "MB of the list")
AMAZON = ("AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=simulated", "AWS_SECRET_ACCESS_KEY=simulated")


def main() -> None:
    args = _parser().parse_args()
    if args.alone:
        print(json.dumps(_measured(args.counts[0], args)))
        return
    print("| images | " + " | ".join(COLUMNS) + " |\n|---" + "|---" * len(COLUMNS) + "|", flush=True)
    found = []
    for count in args.counts:
        runs = [_apart(count, args) for _ in range(args.repeats)]
        seconds, peak = ([run[key] for run in runs] for key in ("CPU s", "peak MB"))
        found += [
            Row(f"{count:,} images, CPU", "CPU ms/1,000 images", [1e6 * each / count for each in seconds], LOWER),
            Row(f"{count:,} images, memory", "MB", peak, LOWER),
        ]
        middle = [f"{statistics.median(run[name] for run in runs):,.1f}" for name in COLUMNS]
        print(f"| {count:,} | " + " | ".join(middle) + " |", flush=True)
    first = found[:2]  # of the smallest count, which the others are compared with
    rows.write(args.json, [*first, *(row.relative_to(first[i % 2]) for i, row in enumerate(found[2:]))])


def _apart(count: int, args: argparse.Namespace) -> dict[str, float]:
    """List simulated images in a new process; if they are in a bucket, another process serves it."""
    command = [sys.executable, "-m", "benchmarks.listing", "--alone", "--counts", str(count)]
    with contextlib.ExitStack() as stack:
        if args.store:
            store = listed_store.ListedStore(listed_store.Names(count, args.folders), args.latency / 1000)
            url = stack.enter_context(listed_store.served_apart(store))
            known = [f"STORAGE_EMULATOR_HOST={url}", f"AWS_ENDPOINT_URL={url}", *AMAZON]
            command = ["env", *known, *command, "--store", args.store, "--threads", str(args.threads)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _measured(count: int, args: argparse.Namespace) -> dict[str, float]:
    """List simulated images in this process."""
    list_objects.THREADS = args.threads
    listed: list[float] = []

    files = Collection.files

    def noted(collected: Collection) -> Iterator[tuple[str, tuple[int, float] | None]]:
        listed.append(time.perf_counter() - begin)
        return files(collected)

    with (
        tempfile.TemporaryDirectory() as scratch,
        _disk() as most,
        mock.patch.object(Collection, "files", noted),
    ):
        place = _place(count, args.store, scratch)
        begin, cpu = time.perf_counter(), time.process_time()
        found = len(find_images.find([place], scratch).items)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        size = (Path(scratch) / image_list.IMAGES_FILE).stat().st_size
    if found != count:
        sys.exit(f"{found} of {count} images were listed")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return dict(zip(COLUMNS, (seconds, cpu, listed[0], peak, max(most) / 1e6, size / 1e6), strict=True))


def _place(count: int, store: str | None, scratch: str) -> str:
    """Return the path of the images; if they are in a folder, simulate it."""
    if store:
        from apache_beam.internal.gcp import auth

        auth._Credentials._credentials_init = True  # or Beam would look for credentials for 20 s
        return f"{store}://bucket/photos"

    def below(folder: str, on_error: object) -> Iterator[File]:
        # A prime number, so that each name comes once, but not in order.
        return (File(f"{folder}/photos of a day/{i * 7919 % count:09d}.jpg", 10**6, 1e9) for i in range(count))

    listing.below = below
    return scratch


@contextlib.contextmanager
def _disk() -> Iterator[list[int]]:
    """Yield a list to which the bytes in the open temporary files of this process are appended, five times a second."""
    found, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            size = 0
            for name in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError):
                    status = os.stat(int(name))
                    size += 512 * status.st_blocks if stat.S_ISREG(status.st_mode) and not status.st_nlink else 0
            found.append(size)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="images")
    parser.add_argument("--repeats", type=int, default=1, help="times that each count is listed")
    parser.add_argument("--store", choices=["gs", "s3"], help="list a simulated bucket")
    parser.add_argument("--folders", type=int, default=100, help="in the bucket; 0 for none")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="of each answer of the bucket")
    parser.add_argument("--threads", type=int, default=list_objects.THREADS, help="that list a bucket")
    rows.add_argument(parser)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
