"""The common part of the commands that write a dataset: the request, the run, the final table."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.dataset import tfds_metadata
from beam_pipelines.dataset.write_records import DescribeDataset, MakeRecord, WriteRecords
from beam_pipelines.sharding import beam_options, listing, outputs, partition, shards, write_output
from beam_pipelines.sharding.outputs import Kind
from trainer.cli import UserError
from trainer.data.formats import dataset_info, shard_sizes
from trainer.data.formats.output_names import DATASET
from trainer.vocab import Vocab


def _shards_of(text: str) -> list[str]:
    splits = dataset_info.info_from_json(text, dataset_info.INFO_FILE).splits.values()
    return [shard.name for split in splits for shard in split.shards]


KIND = Kind(DATASET, DATASET, tfds_metadata.FILES, _shards_of)


def request_of(args: argparse.Namespace, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request: all options except where to write and how to run, and what identifies the inputs."""
    asked = {name: value for name, value in sorted(vars(args).items()) if name not in ("output", "overwrite", "share")}
    return {**asked, "inputs": dict(inputs)}


def read_info(folder: str) -> dataset_info.DatasetInfo:
    """Read the description of a finished dataset through Beam's file systems.

    Raises:
      UserError: the folder does not exist, or is not a finished dataset.
    """
    for name in (dataset_info.COMPLETED_FILE, dataset_info.INFO_FILE):
        if not listing.exists(FileSystems.join(folder, name)):
            raise UserError(
                f"{folder} has no {name}: it is not a dataset, or the run that was writing it did not finish; "
                "give the --output of a prepare or synthesize command that succeeded"
            )
    with FileSystems.open(FileSystems.join(folder, dataset_info.INFO_FILE)) as file:
        return dataset_info.info_from_json(file.read(), folder)


def shard_paths(folder: str, info: dataset_info.DatasetInfo, split: str) -> list[str]:
    """Return the shard files of a split, after checking their sizes against the description.

    Raises:
      UserError: the dataset has no such split, it is empty, or a shard is missing or has another size.
    """
    paths = dataset_info.shard_paths(folder, info, split)
    sizes = outputs.sizes(folder)
    shard_sizes.check(folder, info, split, sizes.get)
    return paths


def write(
    splits: Mapping[str, Sequence[Any]],
    make: MakeRecord,
    vocab: Vocab,
    *,
    args: argparse.Namespace,
    argv: list[str] | None,
    module: str,
    beam_args: Sequence[str],
    inputs: Mapping[str, Any],
    notes: Mapping[str, int] | None = None,
) -> None:
    """Write the items of each split as a dataset, or a partition of it; once it is complete, print its contents.

    If exactly this dataset is already complete, do nothing.

    Args:
      splits: the items of each split.
      make: builds a record from an item.
      vocab: of the labels.
      args, argv, module: the command line.
      beam_args: Beam's options in it.
      inputs: identifies the content of the inputs, so that a dataset of older inputs is not mistaken for this one.
      notes: further counts to report.
    Raises:
      UserError: the folder holds something else, or no item could become a record; nothing is left behind.
      Locked: another process is writing there.
      RuntimeError: the engine lost something.
    """
    request, share = request_of(args, inputs), partition.parse(args.share)
    specs = [
        spec
        for split, items in sorted(splits.items())
        for spec in shards.deal(
            items, output=args.output, split=split, num_shards=args.num_shards, name=dataset_info.shard_name
        )
    ]
    options = beam_options.parse(beam_args)

    def same(text: str) -> bool:
        return dataset_info.info_from_json(text, args.output).request == json.loads(json.dumps(request))

    command = ["python", "-m", module, *partition.common(sys.argv[1:] if argv is None else argv)]
    write_output.write(
        specs,
        WriteRecords(make, vocab),
        DescribeDataset(vocab, command, request, dict(notes or {})),
        output=args.output,
        kind=KIND,
        same=same,
        overwrite=args.overwrite,
        share=share,
        request=request,
        options=options,
        finish=lambda seconds: print(_table(_checked_info(args.output), args.output, seconds)),
    )


def _checked_info(output: str) -> dataset_info.DatasetInfo:
    """Return the description of the written dataset, after checking that every input is accounted for."""
    with FileSystems.open(FileSystems.join(output, dataset_info.INFO_FILE)) as file:
        info = dataset_info.info_from_json(file.read(), output)
    written = sum(split.records for split in info.splits.values())
    if info.records_in != written + sum(info.rejects.values()):
        raise RuntimeError(f"{output}: {info.records_in} in, {written} written, {info.rejects} rejected")
    if not written:
        with FileSystems.open(FileSystems.join(output, dataset_info.REJECTS_FILE)) as file:
            first = file.read().decode().splitlines()[0]
        outputs.remove(output, KIND, everything=True)
        raise UserError(f"all {info.records_in} images were rejected; the first: {first}")
    return info


def _table(info: dataset_info.DatasetInfo, output: str, seconds: Mapping[str, float]) -> str:
    """Format the verified counts (engines may count a retried shard twice), and the seconds that the engine reports."""
    lines = [f"{'records in':<33}{info.records_in:>10}"]
    for name, split in sorted(info.splits.items()):
        lines.append(f"{'written to ' + name:<33}{split.records:>10}  in {len(split.shards)} shards")
    for reason, count in info.rejects.items():
        lines.append(f"{'rejected, ' + reason:<33}{count:>10}")
    for note, count in info.notes.items():
        lines.append(f"{'note: ' + note:<33}{count:>10}")
    size = sum(shard.bytes for split in info.splits.values() for shard in split.shards)
    lines.append(f"{'bytes':<33}{size:>10}")
    lines += [f"{'seconds, ' + step:<33}{seconds[step]:>10.2f}" for step in sorted(seconds)]
    if info.rejects:
        lines.append(f"each reject is listed in {output}/{dataset_info.REJECTS_FILE}")
    return "\n".join([*lines, f"complete: {output}"])
