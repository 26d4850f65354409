"""Read the numbers in many images with an exported model: `python -m beam_pipelines.score --help`."""

import argparse
import functools
import json
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions, TestOptions

from beam_pipelines.options import IMAGES_PER_SHARD, MOST_SHARDS
from beam_pipelines.scoring import (
    carried_rows,
    endings,
    find_images,
    flat_file,
    image_list,
    model_store,
    predictions,
    shared_list,
)
from beam_pipelines.scoring.check_readable import check_readable
from beam_pipelines.scoring.flat_file import FlatFile
from beam_pipelines.scoring.image_list import IMAGES_FILE, ImageList
from beam_pipelines.scoring.model_handler import Reading, ReadShards
from beam_pipelines.scoring.predictions import KIND, DescribePredictions
from beam_pipelines.scoring.shared_list import Images
from beam_pipelines.sharding import beam_options, partition, templates, write_output
from beam_pipelines.sharding.partition import Partition
from beam_pipelines.sharding.shards import ShardSpec
from trainer import provenance
from trainer.cli import UserError
from trainer.data.formats.output_names import PREDICTIONS
from trainer.data.images import image_kinds
from trainer.inference.decoding import beam_width
from trainer.inference.exports import exported_model

LIST_VERSION = 1  # of how images are found and listed


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
    share = partition.parse(args.share)
    templates.refuse(options, "--partition", given=share is not None)
    flat = flat_file.of(args.output)
    output = flat.folder if flat else args.output
    local = os.path.join(scratch, IMAGES_FILE)
    list_images = functools.partial(_list, args, model, local)
    # A dry run writes nothing, and --overwrite with --partition is an error.
    is_shared = share is not None and not args.overwrite and not options.view_as(TestOptions).dry_run
    with shared_list.opened(output, _asked(args), list_images, local, share=is_shared) as (images, publish):
        image_kinds.limit_megapixels(args.max_megapixels)
        if flat:
            _make_way(flat, args, options)
        num_shards = args.num_shards or _default_shards(images.count, share)
        request = _request(args, images, num_shards, reading, model)
        write_output.write(
            slices(images.count, output, num_shards, reading.file_format),
            RunInference(ReadShards(args.model, reading)),
            DescribePredictions(model, request, images.endings, begin, provenance.gather()),
            output=output,
            kind=KIND,
            same=lambda text: json.loads(text).get("request") == request,
            overwrite=args.overwrite,
            share=share,
            request=request,
            options=options,
            prepare=publish,
            finish=lambda _: _print_table(output),
        )
    if flat:
        flat.complete()


def _make_way(flat: FlatFile, args: argparse.Namespace, options: PipelineOptions) -> None:
    """Check that the one file for all rows can be written; remove an earlier one with --overwrite."""
    templates.refuse(options, f"--output {args.output}, one file for all rows,", given=True)
    flat.check()
    if args.overwrite:
        flat.remove()


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """Return everything that determines the list of images, besides the files themselves."""
    named = {name: vars(args)[name] for name in ("input", "resume_from", "only_below")}
    return {"version": LIST_VERSION, "folder": os.getcwd(), **named}


def _list(args: argparse.Namespace, model: dict[str, Any], local: str) -> Images:
    """List the images in a local file; rows to carry over replace theirs."""
    found = find_images.find(args.input, os.path.dirname(local))
    image_kinds.limit_megapixels(args.max_megapixels)
    check_readable(found, exported_model.input_of(model))
    items = found.items
    if args.resume_from:
        with open(f"{local}.carried", "wb") as file:
            items = image_list.write(file, local, carried_rows.replace(items, args.resume_from, args.only_below))
        os.replace(f"{local}.carried", local)
    return shared_list.describe(items, found.endings)


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


def _request(
    args: argparse.Namespace, images: Images, num_shards: int, reading: Reading, model: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that determines the rows."""
    carried = {"resume_from": args.resume_from, "only_below": args.only_below} if args.resume_from else {}
    return {
        "images": images.count,
        "images_crc32c": images.checksum,
        "files": images.files,
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


def slices(images: int, output: str, num_shards: int, file_format: str) -> list[ShardSpec]:
    """Divide the images into one range per shard, so that the rows of all shards, in order, are sorted by key."""
    items = ImageList(FileSystems.join(output, IMAGES_FILE), 0, images)
    count = min(num_shards, images)
    bounds = [images * shard // count for shard in range(count + 1)]
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
