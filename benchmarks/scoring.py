"""Images a second of the scoring job against other ways to read the same photos, its memory, and its start.

python -m benchmarks.scoring --workdir runs/first --pictures photos --count 20000 --json scoring.json

The photos of `labels.csv` are repeated under new names. Each way is a process of its own, one after the other, with the
same weights. The job is timed from its command to its end; the others are not charged for their start. `--peer-python`
names a Python in whose environment rapidocr-onnxruntime is installed.
"""

import argparse
import csv
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer import cli, cluster

BATCH_SIZES = (1, 32, 64, 128, 256, 512)
WARM = 3  # calls before the clock starts


@dataclass
class Way:
    """One way to read: pictures, seconds of reading, the share of whole numbers right, seconds to start."""

    name: str
    pictures: int
    seconds: float
    accuracy: float
    start: float = 0.0
    megabytes: float = 0.0

    @property
    def speed(self) -> float:
        return self.pictures / self.seconds


def links(pictures: Path, folder: Path, count: int) -> tuple[list[Path], list[str]]:
    """So many links to the photos under new names, in a folder, and their labels."""
    with (pictures / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    folder.mkdir()
    paths, labels = [], []
    for i in range(count):
        row = rows[i % len(rows)]
        path = folder / f"{i:07d}-{row['file']}"
        path.symlink_to((pictures / "images" / row["file"]).resolve())
        paths.append(path)
        labels.append(row["label"])
    return paths, labels


def job(model: Path, photos: Path, output: Path, labels: list[str], batch_size: int) -> Way:
    """The command itself; its peak memory is that of the process."""
    command = [sys.executable, "-m", "beam_pipelines.score", "--model", model, "--input", photos, "--output", output]
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
    return Way("the job", len(texts), seconds, share(texts, labels), megabytes=usage.ru_maxrss / 1024)


def plain_loop(model: str, paths: list[Path], labels: list[str], batch_sizes: tuple[int, ...]) -> list[Way]:
    """Reads files and calls the SavedModel, nothing else, once for each batch size."""
    import tensorflow as tf

    begin = time.perf_counter()
    loaded = tf.saved_model.load(model)
    read = loaded.signatures["serving_default"]
    width = tf.constant(json.loads(Path(model, "assets/model_info.json").read_text())["beam_width"])
    start = time.perf_counter() - begin
    ways = []
    for size in batch_sizes:
        for _ in range(WARM):
            read(images=tf.constant([path.read_bytes() for path in paths[:size]]), beam_width=width, candidates=width)
        begin, texts = time.perf_counter(), []
        for i in range(0, len(paths), size):
            files = tf.constant([path.read_bytes() for path in paths[i : i + size]])
            out = read(images=files, beam_width=width, candidates=width)
            texts += [text.decode() for text in out["text"].numpy()[:, 0]]
        seconds = time.perf_counter() - begin
        ways.append(Way(f"SavedModel, plain loop, batch {size}", len(paths), seconds, share(texts, labels), start))
    return ways


def step_by_step(workdir: str, paths: list[Path], labels: list[str]) -> list[Way]:
    """As the reference reads: one picture at a time, a call a step, the beam kept in NumPy."""
    import tensorflow as tf

    from trainer import preprocess
    from trainer import workdir as work

    config, recogniser, params, state, _ = work.load_model(workdir)
    model, vocab, width = config.model, recogniser.layer.vocab, config.decode.beam_width

    @tf.function
    def encode(file: tf.Tensor) -> Any:
        image = preprocess.decode_and_fit(file[tf.newaxis], model.image_height, model.image_width)
        return recogniser.encode(params, state, preprocess.normalise(image))

    @tf.function(reduce_retracing=True)
    def step(tokens: tf.Tensor, carried: Any, memory: Any) -> Any:
        logits, following, _ = recogniser.step(params, tokens, carried, memory)
        return tf.nn.log_softmax(logits), following

    def read(path: Path) -> str:
        memory, carried = encode(tf.constant(path.read_bytes()))
        beams, ended = [(0.0, [vocab.start])], []
        for t in range(model.max_length + 1):
            log_probs, carried = step(tf.constant([[tokens[-1] for _, tokens in beams]]), carried, memory)
            gains = log_probs.numpy()[0].copy()
            gains[:, vocab.start] = -np.inf
            if t == 0:
                gains[:, vocab.end] = -np.inf
            totals = np.array([total for total, _ in beams])[:, np.newaxis] + gains
            best = np.argsort(-totals, axis=None)[:width]
            grown = [(totals.flat[i], beams[i // vocab.size][1], i // vocab.size, i % vocab.size) for i in best]
            ended += [(total, tokens) for total, tokens, _, token in grown if token == vocab.end]
            going = [(total, [*tokens, token], parent) for total, tokens, parent, token in grown if token != vocab.end]
            if not going or t == model.max_length:
                break
            parents = tf.constant([parent for *_, parent in going])
            carried = tf.nest.map_structure(lambda x, p=parents: tf.gather(x, p, axis=1), carried)
            beams = [(total, tokens) for total, tokens, _ in going]
        return vocab.decode(max(ended or [(0.0, beams[0][1])], key=lambda one: one[0])[1][1:])

    return [_timed("one picture, one step at a time", read, paths, labels)]


def lite(file: str, model: str, paths: list[Path], labels: list[str]) -> list[Way]:
    """The TFLite model on pictures that Pillow shrank to its size."""
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    from trainer.vocab import Vocab

    info = json.loads(Path(model, "assets/model_info.json").read_text())
    vocab, (height, width) = Vocab(info["alphabet"]), info["image_size"]
    run = Interpreter(model_path=file).get_signature_runner()

    def read(path: Path) -> str:
        image = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        return vocab.decode(run(images=np.asarray(image)[np.newaxis])["tokens"][0, 0])

    return [_timed(f"TFLite, {os.path.getsize(file) / 1e6:.2f} MB, one picture at a time", read, paths, labels)]


def peer(python: str, paths: list[Path], labels: list[str]) -> Way:
    """An OCR toolkit's recogniser."""
    script = Path(__file__).with_name("peer.py")
    done = subprocess.run(
        [python, script], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Way("RapidOCR's recogniser", len(paths), found["seconds"], share(found["texts"], labels), found["start"])


def share(texts: list[str], labels: list[str]) -> float:
    return sum(text == label for text, label in zip(texts, labels, strict=False)) / len(texts)


def _timed(name: str, read: Callable[[Path], str], paths: list[Path], labels: list[str]) -> Way:
    for path in paths[:WARM]:
        read(path)
    begin = time.perf_counter()
    texts = [read(path) for path in paths]
    return Way(name, len(paths), time.perf_counter() - begin, share(texts, labels))


def _apart(work: Callable[..., list[Way]], *args: object) -> list[Way]:
    """Runs it in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=cluster.quiet_tensorflow) as pool:
        return pool.submit(work, *args).result()


def _export(workdir: str, output: str) -> list[Way]:
    from trainer.export import export

    export(workdir, output, tflite=True)
    return []


def main() -> None:
    """The command line."""
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory() as name:
        ways = compare(args, Path(name))
        memory = measure_memory(args, Path(name))
    if args.json:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
        found = {"machine": machine, "ways": [asdict(way) for way in ways], "megabytes": memory}
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n")


def compare(args: argparse.Namespace, top: Path) -> list[Way]:
    """Exports the model into the folder `top`, and prints a row for each way as it is done."""
    model = str(top / "model")
    _apart(_export, args.workdir, model)
    paths, labels = links(Path(args.pictures), top / "photos", args.count)
    few = paths[: args.few], labels[: args.few]
    loops = _apart(plain_loop, model, *few, BATCH_SIZES)
    size = BATCH_SIZES[loops.index(max(loops, key=lambda way: way.speed))]
    (limit,) = _apart(plain_loop, model, paths, labels, (size,))
    print("| way | pictures | s | images/s | to the limit | numbers right | start, s |\n|---|---|---|---|---|---|---|")
    ways: list[Way] = []

    def show(*done: Way) -> None:
        for way in done:
            print(
                f"| {way.name} | {way.pictures:,} | {way.seconds:.1f} | {way.speed:,.0f} "
                f"| {way.speed / limit.speed:.2f} | {way.accuracy:.1%} | {way.start:.1f} |",
                flush=True,
            )
            ways.append(way)

    show(*loops, replace(limit, name=f"the limit: {limit.name}"))
    links(Path(args.pictures), top / "one", 1)
    start = job(top / "model", top / "one", top / "out-one", labels, args.batch_size).seconds
    whole = job(top / "model", top / "photos", top / "out", labels, args.batch_size)
    show(replace(whole, start=start), replace(whole, name="the job, without its start", seconds=whole.seconds - start))
    show(*_apart(step_by_step, args.workdir, *few))
    show(*_apart(lite, f"{model}/assets.extra/model.tflite", model, *few))
    if args.peer_python:
        show(peer(args.peer_python, *few))
    return ways


def measure_memory(args: argparse.Namespace, top: Path) -> dict[int, float]:
    """Peak megabytes of the job by the number of pictures, with the model in `top`."""
    found = {}
    for count in args.memory:
        _, labels = links(Path(args.pictures), top / f"photos-{count}", count)
        done = job(top / "model", top / f"photos-{count}", top / f"out-{count}", labels, args.batch_size)
        found[count] = done.megabytes
        print(f"peak memory of the job at {count:>9,} pictures: {done.megabytes:,.0f} MB", flush=True)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description=__doc__, example="python -m benchmarks.scoring --workdir runs/first --pictures photos"
    )
    parser.add_argument("--workdir", required=True, help="what trainer.train made; it is exported first")
    parser.add_argument("--pictures", required=True, help="a folder with labels.csv and images/")
    parser.add_argument("--count", type=int, default=20_000, help="photos of the comparison, repeated")
    parser.add_argument(
        "--few", type=int, default=1_000, help="photos for the ways that take one at a time, and the peer"
    )
    parser.add_argument("--batch-size", type=int, default=128, help="of the job")
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="photos of each run")
    parser.add_argument("--peer-python", metavar="PATH", help="compare with rapidocr-onnxruntime in this Python")
    parser.add_argument("--json", metavar="FILE", help="where the figures go, too")
    return parser


if __name__ == "__main__":
    main()
