"""Reads the numbers in many images with an exported model: `python -m beam_pipelines.score --help`."""

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference

from beam_pipelines.inputs import identity
from beam_pipelines.scoring import find_images, model_store, predictions
from beam_pipelines.scoring.find_images import Item
from beam_pipelines.scoring.model_handler import Reading, ReadShards
from beam_pipelines.scoring.predictions import KIND, SUMMARY_FILE, DescribePredictions
from beam_pipelines.sharding import partition, places, shards
from beam_pipelines.sharding.shards import ShardSpec
from trainer import cli, released
from trainer.cli import UserError
from trainer.data import image_kinds
from trainer.inference import beam_width


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    begin = time.time()
    logging.getLogger().addFilter(_is_of_use)
    args, beam_args = _parser().parse_known_args(argv)
    options = shards.options_from(beam_args)
    for name in ("batch_size", "num_shards"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
    if not 0 <= args.min_confidence <= 1:
        raise UserError(f"--min-confidence {args.min_confidence:g}: it must be between 0 and 1")
    model = model_store.read_info(args.model)
    reading = _reading(args, model)
    images = find_images.find(args.input)
    find_images.check_readable(images)
    request = {
        "images": len(images.items),
        "images_crc32c": _checksum(images.items),
        "files": identity.of_paths({item.path for item in images.items}),
        "num_shards": args.num_shards,
        "batch_size": reading.batch_size,
        "beam_width": reading.beam_width,
        "candidates": reading.candidates,
        "min_confidence": reading.min_confidence,
        "format": reading.file_format,
        "max_megapixels": reading.max_megapixels,
        "model": model["fingerprint"],
        "model_crc32c": model_store.checksum(args.model, model),
    }

    def same(text: str) -> bool:
        return json.loads(text).get("request") == request

    share = partition.parse(args.share)
    with partition.opened(args.output, KIND, same, overwrite=args.overwrite, share=share, request=request) as ticket:
        if ticket is None:
            print(f"{args.output} is complete already: nothing to do (--overwrite writes it again)")
            return
        specs = slices(images.items, args.output, args.num_shards, reading.file_format)
        work = RunInference(ReadShards(args.model, reading))
        describe = DescribePredictions(model, request, images.endings, begin)
        seconds = partition.run(
            specs,
            work,
            describe,
            output=args.output,
            kind=KIND,
            options=options,
            share=share,
            request=request,
            ticket=ticket,
        )
        if seconds is not None:
            with FileSystems.open(FileSystems.join(args.output, SUMMARY_FILE)) as file:
                print(_table(json.loads(file.read()), args.output))


def slices(items: Sequence[Item], output: str, num_shards: int, file_format: str) -> list[ShardSpec]:
    """Runs of items, one a shard, so that the rows of all shards, one after the other, are sorted by key."""
    count = min(num_shards, len(items))
    bounds = [len(items) * shard // count for shard in range(count + 1)]
    names = (predictions.shard_name(file_format, shard, count) for shard in range(count))
    return [
        ShardSpec(FileSystems.join(output, name), "predictions", items[begin:end])
        for name, begin, end in zip(names, bounds, bounds[1:], strict=False)
    ]


def _reading(args: argparse.Namespace, model: dict[str, Any]) -> Reading:
    """How to read, of the command line and, where that says nothing, of the model."""
    width, candidates = beam_width.sizes(args.beam_width, args.candidates, model["beam_width"])
    confidence = args.min_confidence
    if args.target_accuracy is not None:
        confidence = model_store.threshold(args.model, model, args.target_accuracy)
    return Reading(args.batch_size, width, candidates, confidence, args.format, args.max_megapixels)


def _is_of_use(record: logging.LogRecord) -> bool:
    """Not that RunInference cannot tell its memory, which it says where PyTorch is not installed."""
    return "Resource module is not available" not in record.getMessage()


def _checksum(items: Sequence[Item]) -> str:
    checksum = google_crc32c.Checksum()
    for item in items:
        checksum.update(f"{item.key}\n".encode())
    return checksum.hexdigest().decode()


def _table(summary: dict[str, Any], output: str) -> str:
    rows = [
        ("images", f"{summary['images']:>10}"),
        ("rows", f"{summary['rows']:>10}  in {len(summary['shards'])} shards"),
        ("accepted", f"{summary['accepted']:>10}"),
        ("for review", f"{summary['for_review']:>10}"),
        *((f"rejected, {reason}", f"{count:>10}") for reason, count in summary["rejects"].items()),
        (
            "other files, not read",
            f"{summary['other_files']:>10}  {_endings(summary['other_files_by_ending'])}".rstrip(),
        ),
        ("images/s, start and all", f"{summary['images_per_second']:>10.0f}"),
    ]
    if accuracy := summary["accuracy"]:
        groups = {"whole numbers right": accuracy, "of the accepted": accuracy["of_accepted"]}
        groups |= {f"of length {length}": group for length, group in accuracy["by_length"].items()}
        rows += [
            (name, f"{group['sequence_accuracy']:>10.2%}  of {group['examples']}")
            for name, group in groups.items()
            if group["examples"]
        ]
    return "\n".join([*(f"{name:<24}{value}" for name, value in rows), f"complete: {output}"])


def _endings(counts: dict[str, int]) -> str:
    return f"  {find_images.endings_text(Counter(counts))}" if counts else ""


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the numbers in many images. Beam's own options (--runner, ...) pass through.",
        example="python -m beam_pipelines.score --input 'photos/*.png' --output out/read",
        check_place=places.check,
    )
    parser.add_argument("--model", default=released.NAME, metavar="EXPORT", help=released.HELP)
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="INPUT",
        help="images: files, patterns, folders, gs:// prefixes, .tar archives, @lists of paths (or ending in .txt); "
        "or TFRecords of prepare or synthesize, with whose labels the answers are compared",
    )
    parser.add_argument("--output", required=True, help="the folder of the predictions")
    parser.add_argument("--format", choices=predictions.FORMATS, default="jsonl", help="of the predictions")
    parser.add_argument("--num-shards", type=int, default=8, help="files of predictions")
    parser.add_argument("--batch-size", type=int, default=128, help="images read together")
    parser.add_argument("--beam-width", type=int, help="hypotheses followed; two for each candidate unless given")
    parser.add_argument(
        "--candidates", type=int, help="in each row; as many as --beam-width, else the model's own number"
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--min-confidence", type=float, default=0.0, help="rows below it are for review, not accepted")
    limit.add_argument(
        "--target-accuracy",
        type=float,
        metavar="SHARE",
        help="take the confidence from which on answers were so accurate when the model was calibrated, e.g. 0.98; "
        "expect slightly less on other images (expected_accuracy in model_info.json)",
    )
    image_kinds.add_argument(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace predictions that are there already")
    partition.add_argument(parser)
    return parser


if __name__ == "__main__":
    from beam_pipelines import score  # workers find pickled classes by this name, not by __main__

    sys.exit(score.main())
