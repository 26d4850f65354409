"""Requests per second and latency of `svhn serve`, by the number of concurrent clients: see `--help`.

The same images are also read one at a time with `Reader`, in this process, which is what the batches are to beat.
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
from trainer.data.image_kinds import IMAGE_ENDINGS


@contextlib.contextmanager
def serving(model: str) -> Iterator[str]:
    """Start a server on a free port, and yield its address."""
    command = [sys.executable, "-m", "trainer.serve", "--port", "0", "--model", model, "--max-pending", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = re.search(r"http://\S+/", process.stderr.readline())
            assert address, process.stderr.read()
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
        async with httpx2.AsyncClient(timeout=60) as http:
            while time.perf_counter() < until:
                begin = time.perf_counter()
                (await http.post(f"{address}v1/read", content=images[index % len(images)])).raise_for_status()
                took.append(time.perf_counter() - begin)
                index += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, type=Path, help="folder of images")
    parser.add_argument("--model", default=released.FAST)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of clients")
    args = parser.parse_args()
    paths = sorted(path for path in args.images.iterdir() if path.name.lower().endswith(IMAGE_ENDINGS))[:200]
    images = [path.read_bytes() for path in paths]
    reader = Reader(args.model)
    reader.read(images[0])
    begin, alone = time.perf_counter(), 0
    while time.perf_counter() < begin + args.seconds:
        reader.read(images[alone % len(images)])
        alone += 1
    print(f"{'clients':>12}{'images/s':>12}{'p50, ms':>12}{'p99, ms':>12}")
    print(f"{'no server':>12}{alone / (time.perf_counter() - begin):>12.1f}")
    with serving(args.model) as address:
        asyncio.run(ask(address, images, 2, 1.0))
        for clients in args.clients:
            begin = time.perf_counter()
            took = 1000 * np.array(asyncio.run(ask(address, images, clients, args.seconds)))
            rate = len(took) / (time.perf_counter() - begin)
            print(f"{clients:>12}{rate:>12.1f}{np.percentile(took, 50):>12.1f}{np.percentile(took, 99):>12.1f}")


if __name__ == "__main__":
    main()
