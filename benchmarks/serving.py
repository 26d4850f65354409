"""Requests per second and latency of `svhn serve`, by the number of concurrent clients: see `--help`.

The same images are also read one at a time with `Reader`, in this process, which is what the batches are to beat, and
by RapidOCR behind the same server, given the Python that has it: `benchmarks.serving_peer`.
"""

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np

from trainer import Reader, released
from trainer.data.images.image_kinds import IMAGE_ENDINGS


@contextlib.contextmanager
def serving(*command: str) -> Iterator[str]:
    """Start a server, and yield the address that it names in its log."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            while not (address := re.search(r"http://\S+/", line := process.stderr.readline())):
                assert line, f"{' '.join(command)} did not start"
            with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL) as drain:
                yield address[0]
                process.terminate()
                drain.wait(60)
        finally:
            process.kill()


async def ask(address: str, images: list[bytes], clients: int, seconds: float) -> list[float]:
    """Return the seconds of each request of a number of clients, each of which asks again once it is answered."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        index = number
        async with httpx2.AsyncClient(timeout=600) as http:
            while time.perf_counter() < until:
                begin = time.perf_counter()
                (await http.post(f"{address}v1/read", content=images[index % len(images)])).raise_for_status()
                took.append(time.perf_counter() - begin)
                index += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return took


def without_server(model: str, images: list[bytes], seconds: float) -> float:
    """Return the images per second of a `Reader` in this process, one image at a time."""
    reader = Reader(model)
    reader.read(images[0])
    begin, count = time.perf_counter(), 0
    while time.perf_counter() < begin + seconds:
        reader.read(images[count % len(images)])
        count += 1
    return count / (time.perf_counter() - begin)


def measure(name: str, command: list[str], images: list[bytes], args: argparse.Namespace) -> None:
    """Print a line for each number of clients of a server."""
    with serving(*command) as address:
        asyncio.run(ask(address, images, 2, 1.0))
        for clients in args.clients:
            begin = time.perf_counter()
            took = 1000 * np.array(asyncio.run(ask(address, images, clients, args.seconds)))
            rate = len(took) / (time.perf_counter() - begin)
            p50, p99 = np.percentile(took, [50, 99])
            print(f"{name:<18}{clients:>12}{rate:>12.1f}{p50:>12.1f}{p99:>12.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, type=Path, help="folder of images")
    parser.add_argument("--model", default=released.FAST)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients")
    for engine in ("rapidocr-1", "rapidocr-3"):
        parser.add_argument(f"--{engine}", metavar="PYTHON", help="an environment with it and `pip install '.[serve]'`")
    args = parser.parse_args()
    paths = sorted(path for path in args.images.iterdir() if path.name.lower().endswith(IMAGE_ENDINGS))[:200]
    images = [path.read_bytes() for path in paths]
    print(f"{'':<18}{'clients':>12}{'images/s':>12}{'p50, ms':>12}{'p99, ms':>12}")
    print(f"{args.model:<18}{'no server':>12}{without_server(args.model, images, args.seconds):>12.1f}", flush=True)
    ours = [sys.executable, "-m", "trainer.serve", "--port", "0", "--model", args.model, "--max-pending", "1000"]
    measure(args.model, ours, images, args)
    for engine, python in (("rapidocr_1", args.rapidocr_1), ("rapidocr_3", args.rapidocr_3)):
        if python:
            measure(engine, [python, "-m", "benchmarks.serving_peer", engine], images, args)


if __name__ == "__main__":
    main()
