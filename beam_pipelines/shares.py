"""A share of the shards for each of several processes, and the last of them to end completes the output.

Each process makes the shards of its share, and notes what is in them in a file beside them. Whoever finds the
notes of all shares there has all results, checks them as one process alone would, and completes the output. Two that
do so at once write the same bytes. A share that was noted is not made again, so any process can be repeated.
"""

import argparse
import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import outputs, shards
from beam_pipelines.shards import Describe, ShardResult, ShardSpec
from trainer.cli import UserError
from trainer.records import COMPLETED_FILE

# What there is of COMPLETED before it is there; an unfinished output is removed together with them.
NOTE = f"{COMPLETED_FILE}.tmp-share-"


@dataclass(frozen=True)
class Share:
    """Shards number `index`, `index + count`, ... of all."""

    index: int
    count: int

    def of(self, specs: list[ShardSpec]) -> list[ShardSpec]:
        return specs[self.index :: self.count]


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--share",
        metavar="I/N",
        help="make share I, from 0, of N; the last of N processes with the same options completes the output",
    )


def parse(text: str | None) -> Share | None:
    """Reads `2/4`.

    Raises:
      UserError: it is no share.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise UserError(f"--share {text}: write I/N with I from 0 to N-1, e.g. 0/4")
    return Share(int(found[1]), int(found[2]))


def common(words: list[str]) -> list[str]:
    """A command line without its share, so that it is that of all of them."""
    return re.sub(r"\0--share[=\0][^\0]*", "", "\0" + "\0".join(words)).split("\0")[1:]


def is_done(
    output: str,
    description: str,
    same: Callable[[str], bool],
    *,
    overwrite: bool,
    part: str,
    subfolders: tuple[str, ...] = (),
    share: Share | None,
) -> bool:
    """`outputs.is_done`; with a share, others are writing too, so nothing is removed.

    Raises:
      UserError: as there; or it is to be overwritten by shares, of which none knows when.
    """
    if share and overwrite:
        raise UserError(f"--overwrite and --share do not go together: remove {output} first")
    keep = share is not None
    return outputs.is_done(output, description, same, overwrite=overwrite, part=part, subfolders=subfolders, keep=keep)


def run(
    specs: list[ShardSpec],
    work: beam.PTransform,
    describe: Describe,
    *,
    output: str,
    options: PipelineOptions,
    share: Share | None,
    request: dict[str, Any],
) -> dict[str, float] | None:
    """`shards.run`, or a share of it.

    Args:
      share: makes only these shards, and completes the output if all others are there.
      request: what was asked for, of which notes of other requests are told.
    Returns:
      The seconds of each step, or None where other shares are still to come.
    Raises:
      RuntimeError: as `shards.run`.
    """
    if share is None:
        return shards.run(specs, work, describe, output=output, options=options)
    mine = share.of(specs)
    seconds: dict[str, float] = {}
    note = functools.partial(_write_note, output=output, share=share, request=request, mine=mine)
    if _is_noted(output, share, request):
        print(f"share {share.index}/{share.count} of {output} is there already")
    elif mine:
        seconds = shards.execute(mine, work, note, output=output, options=options)
        shards.check_there(output, {_note_name(share.index, share.count)})
    else:
        note([])
    return seconds if _complete_if_last(specs, describe, output=output, share=share, request=request) else None


def _note_name(index: int, count: int) -> str:
    return f"{NOTE}{index:05d}-of-{count:05d}"


def _write_note(
    results: list[ShardResult], *, output: str, share: Share, request: dict[str, Any], mine: list[ShardSpec]
) -> None:
    shards.check_counts(results, output, {spec.path: len(spec.items) for spec in mine})
    note = {"request": request, "results": [vars(result) for result in results]}
    with shards.whole_file(FileSystems.join(output, _note_name(share.index, share.count))) as file:
        file.write(json.dumps(note).encode())


def _read_note(output: str, index: int, count: int, request: dict[str, Any]) -> list[ShardResult] | None:
    """The results of a share; None where it is not there, or made for another request."""
    path = FileSystems.join(output, _note_name(index, count))
    try:
        with FileSystems.open(path) as file:
            note = json.loads(file.read())
    except Exception:  # each file system raises something else for a file that is not there
        if FileSystems.exists(path):
            raise
        return None
    if note["request"] != json.loads(json.dumps(request)):
        return None
    results = [ShardResult(**raw) for raw in note["results"]]
    for result in results:
        result.tallies = {name: Counter(counts) for name, counts in result.tallies.items()}
        result.rejects = [(key, reason, detail) for key, reason, detail in result.rejects]
    return results


def _is_noted(output: str, share: Share, request: dict[str, Any]) -> bool:
    """Whether the share was made, and its files still are as they were noted."""
    results = _read_note(output, share.index, share.count, request)
    there = outputs.sizes(output)
    return results is not None and all(there.get(outputs.name_of(r.path)) == r.bytes for r in results)


def _complete_if_last(
    specs: list[ShardSpec], describe: Describe, *, output: str, share: Share, request: dict[str, Any]
) -> bool:
    notes = [_read_note(output, index, share.count, request) for index in range(share.count)]
    results = [result for note in notes if note is not None for result in note]
    if None not in notes:
        shards.complete(
            sorted(results, key=lambda result: result.path),
            output,
            {spec.path: len(spec.items) for spec in specs},
            describe,
        )
        known = {outputs.name_of(spec.path) for spec in specs}
        _remove_leftovers(output, known)
        return True
    # Another one may have completed it, and removed the notes, between our listing and now.
    if FileSystems.exists(FileSystems.join(output, COMPLETED_FILE)):
        return True
    there = sum(note is not None for note in notes)
    print(f"share {share.index}/{share.count} of {output} is made, {there} of {share.count} are there")
    return False


def _remove_leftovers(output: str, known: set[str]) -> None:
    """Removes the notes, and shards that runs with other options left unfinished."""
    for name in outputs.sizes(output):
        if name.startswith(NOTE) or (re.search(r"-\d{5}-of-\d{5}", name) and name not in known):
            try:
                FileSystems.delete([FileSystems.join(output, name)])
            except BeamIOError:  # another share that found all there is doing the same
                continue
