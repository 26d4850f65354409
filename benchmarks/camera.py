"""Frames a second of the server's page with a camera: see `--help`.

Headless Chromium plays a clip of drawn scenes as its camera; browser and server share the machine. The page sends one
frame after the other, each once the one before is read.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.serving import serving
from tests import camera, chromium
from tests.chromium import Page
from trainer import released

SHOTS = [("phone", 390, 844, True), ("desktop", 1280, 900, False)]
COUNT = "window.answered = 0; const whole = window.frame; window.frame = (...all) => { answered += 1; whole(...all); }"


def measure(page: Page, seconds: int) -> np.ndarray:
    """Return how many frames were read in each of a number of seconds."""
    page.run("document.getElementById('camera').click()")
    page.wait("document.getElementById('speed').textContent.includes('frames a second')")
    page.run(COUNT)
    counts = []
    for _ in range(seconds):
        before, begin = page.run("answered"), time.perf_counter()
        time.sleep(1)
        counts.append((page.run("answered") - before) / (time.perf_counter() - begin))
    return np.array(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[released.FAST, released.DEFAULT])
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1280x720"], help="of the camera's frames")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="write how the page looks, too")
    args = parser.parse_args()
    print(f"{'':<18}{'camera':>12}{'frames/s':>12}{'least':>12}{'most':>12}")
    for model in args.models:
        with serving(sys.executable, "-m", "trainer.serve", "--port", "0", "--model", model) as address:
            for size in args.sizes:
                with tempfile.TemporaryDirectory() as folder:
                    across, down = map(int, size.split("x"))
                    clip, _ = camera.write(Path(folder), (across, down))
                    with chromium.browser(Path(folder, "profile"), *camera.flags(clip)) as browser:
                        page = browser.open(address)
                        counts = measure(page, args.seconds)
                        if args.screenshots:
                            shoot(page, args.screenshots, f"{model}-{size}")
                print(
                    f"{model:<18}{size:>12}{counts.mean():>12.1f}{counts.min():>12.1f}{counts.max():>12.1f}", flush=True
                )


def shoot(page: Page, folder: Path, name: str) -> None:
    """Write screenshots of phones and desktops, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for device, width, height, mobile in SHOTS:
        for dark in (False, True):
            path = folder / f"{name}-{device}-{'dark' if dark else 'light'}.png"
            page.screenshot(path, width, height, dark=dark, mobile=mobile)


if __name__ == "__main__":
    main()
