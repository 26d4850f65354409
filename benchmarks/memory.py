"""Measure peak memory and speed of the scoring job on large photos, one file format at a time.

python -m benchmarks.memory --json memory.json

The photos are synthetic: enlarged noise, so that file sizes match those of cameras. Memory is the process's peak
resident set.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import rows, scoring
from benchmarks.rows import LOWER, Row
from trainer import cli

PHOTO = (4000, 3000)  # 12 megapixels
ROTATED = 6  # EXIF orientation of a portrait taken with a phone


def photo(seed: int, size: tuple[int, int] = PHOTO) -> Image.Image:
    """Return a synthetic photo with detail at several scales."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, (128, 128, 128))
    for grain in (400, 40, 4):
        small = rng.integers(0, 256, (-(-size[1] // grain), -(-size[0] // grain), 3), np.uint8)
        image = Image.blend(image, Image.fromarray(small).resize(size, Image.Resampling.BICUBIC), 0.35)
    return image


def noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """Return noise, which no format can compress."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def portrait(path: Path, image: Image.Image, **options: Any) -> None:
    """Write a JPEG with an EXIF rotation."""
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    image.save(path.with_suffix(".jpg"), quality=90, exif=exif, **options)


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "portrait JPEG": lambda path, seed: portrait(path, photo(seed)),
    "plain JPEG": lambda path, seed: photo(seed).save(path.with_suffix(".jpg"), quality=90),
    "progressive JPEG": lambda path, seed: portrait(path, photo(seed), progressive=True),
    "PNG": lambda path, seed: photo(seed).save(path.with_suffix(".png"), compress_level=1),
    "transparent PNG": lambda path, seed: photo(seed).convert("RGBA").save(path.with_suffix(".png"), compress_level=1),
    "PNG of noise, 100 MB": lambda path, seed: noise(seed, (7000, 5000)).save(
        path.with_suffix(".png"), compress_level=1
    ),
    "TIFF": lambda path, seed: photo(seed).save(path.with_suffix(".tif")),
    "TIFF, 60 megapixels": lambda path, seed: photo(seed, (10000, 6000)).save(
        path.with_suffix(".tif"), compression="tiff_lzw"
    ),
    "WebP": lambda path, seed: photo(seed).save(path.with_suffix(".webp"), quality=80, method=0),
    "AVIF": lambda path, seed: photo(seed).save(path.with_suffix(".avif"), speed=10),
    "JPEG 2000": lambda path, seed: photo(seed).save(
        path.with_suffix(".jp2"), quality_mode="rates", quality_layers=[20]
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    found = []
    print("| images | count | MB of files | peak MB | images/s, including startup |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        everything = Path(name) / "everything"
        everything.mkdir()
        for kind in args.kinds:
            folder = Path(name) / kind
            folder.mkdir()
            count = args.count if kind == "portrait JPEG" else args.others
            _fill(folder, MAKERS[kind], count, args.distinct)
            for path in folder.iterdir():
                (everything / f"{path.stem} {kind}{path.suffix}").symlink_to(path.resolve())
            found.append(_show(kind, args.model, folder, Path(name)))
        if len(args.kinds) > 1:
            found.append(_show("all of them, mixed", args.model, everything, Path(name)))
    rows.write(args.json, found)


def _fill(folder: Path, make: Callable[[Path, int], None], count: int, distinct: int) -> None:
    """Create `count` files, of which only the first `distinct` differ: the others are links to them."""
    for i in range(min(count, distinct)):
        make(folder / f"{i:04d}", i)
    first = sorted(folder.iterdir())
    for i in range(len(first), count):
        (folder / f"{i:04d}{first[0].suffix}").symlink_to(first[i % len(first)])


def _show(kind: str, model: str, folder: Path, top: Path) -> Row:
    count = len(list(folder.iterdir()))
    done = scoring.job(Path(model), folder, top / f"out-{kind}", [""] * count, 128)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"| {kind} | {done.images} of {count} | {size:,.0f} | {done.megabytes:,.0f} | {done.speed:.1f} |", flush=True)
    return Row(f"{kind}, {count} images", "MB", [done.megabytes], LOWER)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.memory --kinds 'portrait JPEG' PNG")
    parser.add_argument("--model", default="released", help="an exported model")
    parser.add_argument(
        "--kinds", nargs="+", choices=MAKERS, default=list(MAKERS), metavar="KIND", help=", ".join(MAKERS)
    )
    parser.add_argument("--count", type=int, default=140, help="number of portrait JPEGs")
    parser.add_argument("--others", type=int, default=24, help="number of files of each other kind")
    parser.add_argument("--distinct", type=int, default=4, help="number of distinct files of each kind")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
