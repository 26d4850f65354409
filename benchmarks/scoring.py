"""Measure the scoring job's throughput compared with other ways to read the same photos, its memory, and its startup.

python -m benchmarks.scoring --images photos --split validation --count 20000 --json scoring.json

The photos of `labels.csv` are repeated under new names; accuracy is only meaningful for photos that were not trained
on. Each way runs in its own process, one after the other, with the same weights. The job's time includes its startup;
that of the others does not. `--peer-python` is a Python in whose environment rapidocr-onnxruntime is installed.
"""

import argparse
import csv
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import restored, rows
from benchmarks.rows import HIGHER, LOWER, NEITHER, Row
from trainer import cli
from trainer.cluster import environment
from trainer.inference.decoding import beam_width
from trainer.inference.photos.region_options import AUTO, FLOAT32

BATCH_SIZES = (1, 32, 64, 128, 256, 512)
WARM = 3  # warm-up calls before timing starts
LIMIT = "SavedModel, plain loop"  # of the best batch size, in the precision that the job chooses
IN_FLOAT32 = f"{LIMIT}, float32"
JOB, PEER = "the job", "RapidOCR's recogniser"
TIMES_THE_PEER = 20.0  # the target for the limit
TFLITE = "assets.extra/model.tflite"


@dataclass
class Way:
    """One way to read.

    Its images, seconds of reading, proportion of correct numbers, seconds to start, peak megabytes and CPU seconds.
    """

    name: str
    images: int
    seconds: float
    accuracy: float
    start: float = 0.0
    megabytes: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def speed(self) -> float:
        return self.images / self.seconds


def labelled(images: Path, split: str | None) -> list[tuple[Path, str]]:
    """Return the photos and their labels, of one split or of all."""
    with (images / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if split in (None, row.get("split"))]
    if not rows:
        raise cli.UserError(f"--split {split}: {images}/labels.csv has no row of this split")
    return [((images / "images" / row["file"]).resolve(), row["label"]) for row in rows]


def links(photos: list[tuple[Path, str]], folder: Path, count: int) -> tuple[list[Path], list[str]]:
    """Create `count` links to the photos under new names, in a folder, and return them and their labels."""
    folder.mkdir()
    paths, labels = [], []
    for i in range(count):
        photo, label = photos[i % len(photos)]
        path = folder / f"{i:07d}-{photo.name}"
        path.symlink_to(photo)
        paths.append(path)
        labels.append(label)
    return paths, labels


def job(model: Path, photos: Path, output: Path, labels: list[str], batch_size: int) -> Way:
    """Run the command itself; its peak memory is that of the process."""
    command = [
        sys.executable,
        "-m",
        "beam_pipelines.score",
        "-q",
        "--model",
        model,
        "--input",
        photos,
        "--output",
        output,
    ]
    begin = time.perf_counter()
    process = subprocess.Popen([*map(str, command), "--batch-size", str(batch_size)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        sys.exit(f"the job failed with status {status}")
    texts = [
        json.loads(line)["candidates"][0]["text"]
        for path in sorted(output.glob("predictions-*"))
        for line in path.open()
    ]
    return Way(
        JOB, len(texts), seconds, share(texts, labels), 0.0, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
    )


def plain_loop(
    model: str, paths: list[Path], labels: list[str], batch_sizes: tuple[int, ...], precision: str = AUTO
) -> list[Way]:
    """Read files and call the SavedModel, nothing else, once for each batch size."""
    import tensorflow as tf

    from trainer.inference.exports import exported_model, in_bfloat16

    begin = time.perf_counter()
    loaded = exported_model.load(model, precision)
    signature = loaded.loaded.signatures["serving_default"]
    read = in_bfloat16.calling(signature) if loaded.in_bfloat16 else signature
    width, candidates = map(tf.constant, beam_width.sizes(None, None, loaded.info["beam_width"]))
    start = time.perf_counter() - begin
    ways = []
    for size in batch_sizes:
        for _ in range(WARM):
            files = tf.constant([path.read_bytes() for path in paths[:size]])
            read(images=files, beam_width=width, candidates=candidates)
        begin, texts = time.perf_counter(), []
        for i in range(0, len(paths), size):
            files = tf.constant([path.read_bytes() for path in paths[i : i + size]])
            out = read(images=files, beam_width=width, candidates=candidates)
            texts += [text.decode() for text in out["text"].numpy()[:, 0]]
        seconds = time.perf_counter() - begin
        ways.append(Way(_loop_name(size), len(paths), seconds, share(texts, labels), start))
    return ways


def _loop_name(size: int) -> str:
    return f"SavedModel, plain loop, batch {size}"


def step_by_step(workdir: str, paths: list[Path], labels: list[str]) -> list[Way]:
    """Read as the reference does."""
    from benchmarks import stepwise

    return [_timed("one image, one step at a time, in one view", stepwise.reader(workdir), paths, labels)]


def lite(model: str, paths: list[Path], labels: list[str]) -> list[Way]:
    """Run the TFLite model on images resized by Pillow."""
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    from trainer.vocab import Vocab

    info = json.loads(Path(model, "assets/model_info.json").read_text())
    vocab, (height, width) = Vocab(info["alphabet"]), info["image_size"]
    run = Interpreter(model_path=f"{model}/{TFLITE}").get_signature_runner()

    def read(path: Path) -> str:
        image = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return vocab.decode(run(images=np.asarray(image)[np.newaxis])["tokens"][0, 0])

    return [_timed("TFLite, one image at a time, in one view", read, paths, labels)]


def peer(python: str, paths: list[Path], labels: list[str]) -> Way:
    """Run an OCR toolkit's recogniser."""
    script = Path(__file__).with_name("peer.py")
    done = subprocess.run(
        [python, script], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Way(PEER, len(paths), found["seconds"], share(found["texts"], labels), found["start"])


def share(texts: list[str], labels: list[str]) -> float:
    return sum(text == label for text, label in zip(texts, labels, strict=False)) / len(texts)


def _timed(name: str, read: Callable[[Path], str], paths: list[Path], labels: list[str]) -> Way:
    for path in paths[:WARM]:
        read(path)
    begin = time.perf_counter()
    texts = [read(path) for path in paths]
    return Way(name, len(paths), time.perf_counter() - begin, share(texts, labels))


def _apart(work: Callable[..., list[Way]], *args: object) -> list[Way]:
    """Do the work in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=environment.quiet_tensorflow) as pool:
        return pool.submit(work, *args).result()


def main(argv: list[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args = _parser().parse_args(argv)
    photos = labelled(Path(args.images), args.split)
    with tempfile.TemporaryDirectory() as name:
        workdir, model = args.workdir or f"{name}/run", f"{name}/model"
        if not args.workdir:
            _apart(restored.restore, args.model, workdir)
        _apart(restored.export, workdir, model, args.set)
        found = [*compare(args, photos, workdir, Path(name)), *measure_memory(args, photos, Path(name))]
    rows.write(args.json, found)


def compare(args: argparse.Namespace, photos: list[tuple[Path, str]], workdir: str, top: Path) -> list[Row]:
    """Print a line for each way as it completes, with the model in `top` that was exported from `workdir`."""
    model = str(top / "model")
    paths, labels = links(photos, top / "photos", args.count)
    few = paths[: args.few], labels[: args.few]
    sizes = tuple(size for size in BATCH_SIZES if size <= len(few[0]))
    loops = _apart(plain_loop, model, *few, sizes)
    size = sizes[loops.index(max(loops, key=lambda way: way.speed))]
    print(f"TFLite: {Path(model, TFLITE).stat().st_size / 1e6:.2f} MB; the limit: {LIMIT}, batch {size}")
    print("| way | images | s | images/s | of the limit | accuracy | startup, s |\n|---|---|---|---|---|---|---|")
    links(photos, top / "one", 1)
    runs: dict[str, list[Way]] = {}

    def show(limit: Way, ways: list[Way]) -> None:
        for way in ways:
            runs.setdefault(way.name, []).append(way)
            print(
                f"| {way.name} | {way.images:,} | {way.seconds:.1f} | {way.speed:,.0f} "
                f"| {way.speed / limit.speed:.2f} | {way.accuracy:.1%} | {way.start:.1f} |",
                flush=True,
            )

    for i in range(args.repeats):
        (limit,) = _apart(plain_loop, model, paths, labels, (size,))
        (exact,) = _apart(plain_loop, model, paths, labels, (size,), FLOAT32)
        show(limit, [replace(limit, name=LIMIT), replace(exact, name=IN_FLOAT32), *(() if i else loops)])
        start = job(top / "model", top / "one", top / f"out-one-{i}", labels, args.batch_size).seconds
        whole = job(top / "model", top / "photos", top / f"out-{i}", labels, args.batch_size)
        reading = replace(whole, name=f"{whole.name}, without startup", seconds=whole.seconds - start)
        show(limit, [replace(whole, start=start), reading])
        show(limit, _apart(step_by_step, workdir, *few))
        show(limit, _apart(lite, model, *few))
        if args.peer_python:
            show(limit, [peer(args.peer_python, *few)])
    return as_rows(runs)


def as_rows(runs: Mapping[str, list[Way]]) -> list[Row]:
    """Return the speed of each way, relative to the limit, and the job's startup; of loops, those of batch size 1."""
    larger = [_loop_name(size) for size in BATCH_SIZES[1:]]
    limit, *others = (
        Row(name, "images/s", [way.speed for way in ways], NEITHER if name == PEER else HIGHER)
        for name, ways in runs.items()
        if name not in larger
    )
    found = [limit, *(row.relative_to(limit) for row in others)]
    if PEER in runs:
        (theirs,) = (row for row in others if row.name == PEER)
        found.append(replace(limit, name=f"{LIMIT}, beside the peer").relative_to(theirs, at_least=TIMES_THE_PEER))
    return [*found, Row("the job, startup", "s", [way.start for way in runs[JOB]], LOWER)]


def measure_memory(args: argparse.Namespace, photos: list[tuple[Path, str]], top: Path) -> list[Row]:
    """Return the peak megabytes of the job by the number of images, with the model in `top`."""
    found = []
    for count in args.memory:
        _, labels = links(photos, top / f"photos-{count}", count)
        done = job(top / "model", top / f"photos-{count}", top / f"out-memory-{count}", labels, args.batch_size)
        found.append(Row(f"the job, memory at {count:,} images", "MB", [done.megabytes], LOWER))
        print(rows.line(found[-1]), flush=True)
    return [*found[:1], *(row.relative_to(found[0]) for row in found[1:])]


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(description=__doc__, example="python -m benchmarks.scoring --images photos --split validation")
    made = parser.add_mutually_exclusive_group()
    made.add_argument("--workdir", help="a work folder of trainer.train; it is exported first")
    made.add_argument("--model", default="released", help="an exported model of an unchanged experiment")
    cli.add_settings(parser, what=cli.READ_OTHERWISE)
    parser.add_argument("--split", help="only the photos of this split of labels.csv")
    parser.add_argument("--images", required=True, help="a folder with labels.csv and images/")
    parser.add_argument("--count", type=int, default=20_000, help="photos in the comparison, repeated as needed")
    parser.add_argument("--few", type=int, default=1_000, help="photos for all ways but the job and the limit")
    parser.add_argument("--batch-size", type=int, default=128, help="batch size of the job")
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="photos in each run")
    parser.add_argument("--peer-python", metavar="PATH", help="compare with rapidocr-onnxruntime in this Python")
    parser.add_argument("--repeats", type=int, default=1, help="repetitions of the comparison")
    rows.add_argument(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
