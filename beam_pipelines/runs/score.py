"""Read the numbers in many images with an exported model: `python -m beam_pipelines.score --help`."""

import argparse
import functools
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference

from beam_pipelines.inputs import identity
from beam_pipelines.options import IMAGES_PER_SHARD, MOST_SHARDS
from beam_pipelines.scoring import carried_rows, endings, find_images, flat_file, image_list, model_store, predictions
from beam_pipelines.scoring.check_readable import check_readable
from beam_pipelines.scoring.image_list import IMAGES_FILE, ImageList, Item
from beam_pipelines.scoring.model_handler import Reading, ReadShards
from beam_pipelines.scoring.predictions import KIND, DescribePredictions
from beam_pipelines.sharding import beam_options, partition, templates, write_output
from beam_pipelines.sharding.listing import File
from beam_pipelines.sharding.partition import Partition
from beam_pipelines.sharding.shards import ShardSpec
from beam_pipelines.sharding.whole_file import whole_file
from trainer import provenance
from trainer.cli import UserError
from trainer.data.formats.output_names import PREDICTIONS
from trainer.data.images import image_kinds
from trainer.inference.decoding import beam_width
from trainer.inference.exports import exported_model


def run(args: argparse.Namespace, beam_args: Sequence[str]) -> None:
    """Write the predictions that the command line asks for."""
    with tempfile.TemporaryDirectory() as scratch:
        _run(args, beam_args, scratch)


def _run(args: argparse.Namespace, beam_args: Sequence[str], scratch: str) -> None:
    begin = time.time()
    logging.getLogger().addFilter(_is_of_use)
    options = beam_options.parse(beam_args)
    _check(args)
    _check_resumption(args)
    model = model_store.read_info(args.model)
    reading = _reading(args, model)
    images = find_images.find(args.input, scratch)
    image_kinds.limit_megapixels(args.max_megapixels)
    check_readable(images, exported_model.input_of(model))
    share = partition.parse(args.share)
    flat = flat_file.of(args.output)
    output = flat.folder if flat else args.output
    num_shards = args.num_shards or _default_shards(len(images.items), share)
    items, path = _items(args, images, scratch)
    request = _request(args, items, num_shards, reading, model)
    templates.refuse(options, f"--output {args.output}, one file for all rows,", given=flat is not None)
    if flat:
        flat.check()
        if args.overwrite:
            flat.remove()
    listed = ImageList(FileSystems.join(output, IMAGES_FILE), 0, len(items))
    write_output.write(
        slices(listed, output, num_shards, reading.file_format),
        RunInference(ReadShards(args.model, reading)),
        DescribePredictions(model, request, images.endings, begin, provenance.gather()),
        output=output,
        kind=KIND,
        same=lambda text: json.loads(text).get("request") == request,
        overwrite=args.overwrite,
        share=share,
        request=request,
        options=options,
        prepare=functools.partial(_copy, path, listed.path),
        finish=lambda _: _print_table(output),
    )
    if flat:
        flat.complete()


def _items(args: argparse.Namespace, images: find_images.Found, scratch: str) -> tuple[Sequence[Item], str]:
    """Return the items, in which rows to carry over replace their images, and the local file that lists them."""
    if not args.resume_from:
        return images.items, os.path.join(scratch, IMAGES_FILE)
    path = os.path.join(scratch, "carried")
    with open(path, "wb") as file:
        return image_list.write(file, path, carried_rows.replace(images.items, args.resume_from, args.only_below)), path


def _check_resumption(args: argparse.Namespace) -> None:
    """Raise UserError unless --resume-from and --only-below are given together, and the output is a different one."""
    if (args.resume_from is None) != (args.only_below is None):
        raise UserError("give --resume-from and --only-below together: the earlier predictions, and a confidence")
    if args.resume_from is None:
        return
    if not 0 <= args.only_below <= 1:
        raise UserError(f"--only-below {args.only_below:g}: it must be between 0 and 1")
    folders = [flat.folder if (flat := flat_file.of(path)) else path for path in (args.output, args.resume_from)]
    if len({os.path.abspath(one) if "://" not in one else one.rstrip("/") for one in folders}) == 1:
        raise UserError(f"--resume-from {args.resume_from} is the --output itself: give another --output")


def _check(args: argparse.Namespace) -> None:
    """Check the bounds of options.

    Raises:
      UserError: one is out of bounds.
    """
    if args.num_shards is not None and args.num_shards < 1:
        raise UserError(f"--num-shards {args.num_shards}: it must be at least 1")
    if not 0 <= args.min_confidence <= 1:
        raise UserError(f"--min-confidence {args.min_confidence:g}: it must be between 0 and 1")


def _copy(path: str, to: str) -> None:
    """Copy a local file to an output."""
    with open(path, "rb") as file, whole_file(to) as copy:
        shutil.copyfileobj(file, copy)


def _request(
    args: argparse.Namespace, items: Sequence[Item], num_shards: int, reading: Reading, model: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that determines the rows."""
    carried = {"resume_from": args.resume_from, "only_below": args.only_below} if args.resume_from else {}
    return {
        "images": len(items),
        "images_crc32c": _checksum(items),
        "files": identity.of_files(_files(items)),
        "num_shards": num_shards,
        "batch_size": reading.batch_size,
        "beam_width": reading.beam_width,
        "candidates": reading.candidates,
        "min_confidence": reading.min_confidence,
        "format": reading.file_format,
        "max_megapixels": reading.max_megapixels,
        "max_numbers": reading.max_numbers,
        "whole": reading.whole,
        "precision": reading.precision,
        "model": model["fingerprint"],
        "model_crc32c": model_store.checksum(args.model, model),
        **carried,
    }


def slices(items: ImageList, output: str, num_shards: int, file_format: str) -> list[ShardSpec]:
    """Divide the items into one range per shard, so that the rows of all shards, in order, are sorted by key."""
    count = min(num_shards, len(items))
    bounds = [len(items) * shard // count for shard in range(count + 1)]
    names = (predictions.shard_name(file_format, shard, count) for shard in range(count))
    return [
        ShardSpec(FileSystems.join(output, name), "predictions", items[begin:end])
        for name, begin, end in zip(names, bounds, bounds[1:], strict=False)
    ]


def _default_shards(images: int, share: Partition | None) -> int:
    """Return how many prediction files to write: few for few images, and one for each partition."""
    return max(min(-(-images // IMAGES_PER_SHARD), MOST_SHARDS), share.count if share else 1)


def _reading(args: argparse.Namespace, model: dict[str, Any]) -> Reading:
    """Return the reading settings: those of the command line, else the model's."""
    width, candidates = beam_width.sizes(args.beam_width, args.candidates, model["beam_width"])
    confidence = args.min_confidence
    if args.target_accuracy is not None:
        info = exported_model.reading_info(model, whole=args.regions == "whole")
        confidence = model_store.threshold(args.model, info, args.target_accuracy)
    options = {"max_numbers": args.max_numbers, "whole": args.regions == "whole", "precision": args.precision}
    flat = flat_file.of(args.output)
    if flat and args.format not in (None, flat.file_format):
        raise UserError(f"--output {args.output} and --format {args.format} contradict each other: leave out --format")
    file_format = flat.file_format if flat else args.format or "jsonl"
    return Reading(args.batch_size, width, candidates, confidence, file_format, args.max_megapixels, **options)


def _is_of_use(record: logging.LogRecord) -> bool:
    """Return False for RunInference's warning that it cannot measure memory, logged if PyTorch is not installed."""
    return "Resource module is not available" not in record.getMessage()


def _files(items: Iterable[Item]) -> Iterator[File]:
    """Yield each file that contains an item once, and the file of each image whose row is carried over."""
    shared: dict[str, tuple[int, float] | None] = {}
    for item in items:
        if item.kind == carried_rows.ROW:
            shared[item.path] = None
            if item.file:
                yield File(item.key, *item.file)
        elif item.file and item.kind == "file" and not item.reject:
            yield File(item.path, *item.file)
        else:
            shared[item.path] = item.file
    yield from (File(path, *file) for path, file in shared.items() if file)
    yield from identity.looked_up(path for path, file in shared.items() if not file)


def _checksum(items: Sequence[Item]) -> str:
    checksum = google_crc32c.Checksum()
    for item in items:
        checksum.update(f"{item.key}\n".encode())
    return checksum.hexdigest().decode()


def _print_table(output: str) -> None:
    with FileSystems.open(FileSystems.join(output, PREDICTIONS.description)) as file:
        print(_table(json.loads(file.read()), output))


def _table(summary: dict[str, Any], output: str) -> str:
    rows = [
        ("images", f"{summary['images']:>10}"),
        ("rows", f"{summary['rows']:>10}  in {len(summary['shards'])} shards"),
        ("accepted", f"{summary['accepted']:>10}"),
        ("for review", f"{summary['for_review']:>10}"),
        *([("carried over", f"{summary['carried_over']:>10}")] if summary["carried_over"] else []),
        *((f"rejected, {reason}", f"{count:>10}") for reason, count in summary["rejects"].items()),
        *_number_rows(summary["numbers"], summary["numbers_cut_off"]),
        (
            "other files (skipped)",
            f"{summary['other_files']:>10}  {_endings(summary['other_files_by_ending'])}".rstrip(),
        ),
        ("images/s, with startup", f"{summary['images_per_second']:>10.0f}"),
    ]
    if accuracy := summary["accuracy"]:
        groups = {"whole numbers right": accuracy, "right among accepted": accuracy["of_accepted"]}
        groups |= {f"right of length {length}": group for length, group in accuracy["by_length"].items()}
        rows += [
            (name, f"{group['sequence_accuracy']:>10.2%}  of {group['examples']}")
            for name, group in groups.items()
            if group["examples"]
        ]
    return "\n".join([*(f"{name:<24}{value}" for name, value in rows), f"complete: {output}"])


def _number_rows(counts: dict[str, int] | None, cut_off: int) -> list[tuple[str, str]]:
    """Return table rows on how many numbers were found, given the count of images by how many numbers they show."""
    if counts is None:
        return []
    total = sum(int(numbers) * images for numbers, images in counts.items())
    rows = [("numbers found", f"{total:>10}"), ("images without a number", f"{counts.get('0', 0):>10}")]
    return [*rows, ("cut off at the most", f"{cut_off:>10}  images, see --max-numbers")] if cut_off else rows


def _endings(counts: dict[str, int]) -> str:
    return f"  {endings.text(counts)}" if counts else ""
