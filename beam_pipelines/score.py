"""Reads the numbers in many pictures with an exported model: `python -m beam_pipelines.score --help`."""

import argparse
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import google_crc32c
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference

from beam_pipelines import shards, shares
from beam_pipelines.inference import BINS, MODEL_INFO, ReadShards
from beam_pipelines.shards import ShardResult
from trainer import cli
from trainer.cli import UserError

SUMMARY_FILE = "summary.json"
_WILDCARD = re.compile(r"[*?\[]")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class DescribePredictions:
    """Makes `summary.json`."""

    model: dict[str, Any]
    request: dict[str, Any]

    def __call__(self, results: list[ShardResult]) -> dict[str, str]:
        tallies: dict[str, Counter] = {"accepted": Counter(), "confidence": Counter(), "length": Counter()}
        for result in results:
            for name, counts in result.tallies.items():
                tallies[name].update(counts)
        summary = {
            "images": sum(result.items for result in results),
            "rows": sum(result.written for result in results),
            "accepted": tallies["accepted"]["True"],
            "rejects": shards.reject_counts(results),
            "lengths": dict(sorted(tallies["length"].items())),
            "confidence_histogram": [tallies["confidence"][str(i)] for i in range(BINS)],
            "shards": [
                {"name": r.path.rsplit("/", 1)[-1], "rows": r.written, "bytes": r.bytes, "crc32c": r.crc32c}
                for r in results
            ],
            "model": self.model,
            "request": self.request,
        }
        return {SUMMARY_FILE: json.dumps(summary, indent=2) + "\n"}


def shard_name(split: str, index: int, count: int) -> str:
    """`predictions-00003-of-00008.jsonl`."""
    return f"{split}-{index:05d}-of-{count:05d}.jsonl"


def find_pictures(patterns: list[str]) -> list[str]:
    """The files that the patterns match, each once, sorted; a folder stands for all pictures below it.

    Raises:
      UserError: a pattern matches nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        below = [] if _WILDCARD.search(pattern) else _match(FileSystems.join(pattern, "**"))
        files = [path for path in below if path.lower().endswith(PICTURE_ENDINGS)] if below else _match(pattern)
        if not files:
            raise UserError(f"--input {pattern} matches no pictures: quote a pattern, e.g. 'photos/*.png'")
        found.update(files)
    return sorted(found)


def _match(pattern: str) -> list[str]:
    return [file.path for file in FileSystems.match([pattern])[0].metadata_list]


def read_model_info(model: str) -> dict[str, Any]:
    """What the exported model says of itself.

    Raises:
      UserError: there is no such model.
    """
    path = FileSystems.join(model, *MODEL_INFO.split("/"))
    if not FileSystems.exists(path):
        raise UserError(f"{model} has no {MODEL_INFO}: it is no model of trainer.export")
    with FileSystems.open(path) as file:
        return json.loads(file.read())


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return cli.exit_status(_run, argv)


def _run(argv: list[str] | None) -> None:
    args, beam_args = _parser().parse_known_args(argv)
    options = shards.options_from(beam_args)
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: it must be at least 1")
    model = read_model_info(args.model)
    pictures = find_pictures(args.input)
    request = {
        "images": len(pictures),
        "images_crc32c": google_crc32c.Checksum("\n".join(pictures).encode()).hexdigest().decode(),
        "num_shards": args.num_shards,
        "batch_size": args.batch_size,
        "min_confidence": args.min_confidence,
        "model": model["fingerprint"],
    }

    def same(text: str) -> bool:
        return json.loads(text).get("request") == request

    share = shares.parse(args.share)
    done = shares.is_done(args.output, SUMMARY_FILE, same, overwrite=args.overwrite, part="predictions-", share=share)
    if done:
        print(f"{args.output} is complete already: nothing to do (--overwrite makes it anew)")
        return
    begin = time.monotonic()
    specs = shards.deal(pictures, output=args.output, split="predictions", num_shards=args.num_shards, name=shard_name)
    work = RunInference(ReadShards(args.model, batch_size=args.batch_size, min_confidence=args.min_confidence))
    describe = DescribePredictions(model, request)
    if shares.run(specs, work, describe, output=args.output, options=options, share=share, request=request) is None:
        return
    with FileSystems.open(FileSystems.join(args.output, SUMMARY_FILE)) as file:
        print(_table(json.loads(file.read()), args.output, time.monotonic() - begin))


def _table(summary: dict[str, Any], output: str, seconds: float) -> str:
    lines = [
        f"{'images':<24}{summary['images']:>10}",
        f"{'rows':<24}{summary['rows']:>10}  in {len(summary['shards'])} shards",
        f"{'accepted':<24}{summary['accepted']:>10}",
        *(f"{'rejected, ' + reason:<24}{count:>10}" for reason, count in summary["rejects"].items()),
        f"{'images/s, start and all':<24}{summary['images'] / seconds:>10.0f}",
        f"complete: {output}",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        description="Read the numbers in many pictures. Beam's own options (--runner, ...) pass through.",
        example="python -m beam_pipelines.score --model runs/first/export --input 'photos/*.png' --output out/read",
    )
    parser.add_argument("--model", required=True, metavar="EXPORT", help="what trainer.export made")
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATTERN", help="picture files, or folders of them"
    )
    parser.add_argument("--output", required=True, help="the folder of the predictions")
    parser.add_argument("--num-shards", type=int, default=8, help="files of predictions")
    parser.add_argument("--batch-size", type=int, default=128, help="pictures read together")
    parser.add_argument("--min-confidence", type=float, default=0.0, help="rows below it are marked as not accepted")
    parser.add_argument("--overwrite", action="store_true", help="replace predictions that are there already")
    shares.add_argument(parser)
    return parser


if __name__ == "__main__":
    from beam_pipelines import score  # workers find pickled classes by this name, not by __main__

    sys.exit(score.main())
