"""Write an output under its lock, in one process or partitioned among several, of which the last completes it.

Each process writes the shards of its partition, and next to them a note of their results. A process that finds the
notes of all partitions checks their results as a single process would, and completes the output. If two do so at once,
they write the same bytes. A partition that has its note is not written again, so any process can be restarted.
"""

import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, TestOptions

from beam_pipelines.sharding import listing, output_lock, outputs, shards, templates
from beam_pipelines.sharding.outputs import Kind
from beam_pipelines.sharding.partition import Partition
from beam_pipelines.sharding.shards import Describe, ShardResult, ShardSpec
from trainer.cli import UserError
from trainer.files.lock import Ticket


def write(
    specs: list[ShardSpec],
    work: beam.PTransform,
    describe: Describe,
    *,
    output: str,
    kind: Kind,
    same: Callable[[str], bool],
    overwrite: bool,
    share: Partition | None,
    request: dict[str, Any],
    options: PipelineOptions,
    prepare: Callable[[], None] = lambda: None,
    finish: Callable[[dict[str, float]], None],
) -> None:
    """Write an output, or one partition of it, under its lock, unless exactly this output is already complete.

    Args:
      specs, work, describe, options: see `shards.run`.
      output, kind, same, overwrite: see `outputs.is_done`.
      share: the partition to write, which completes the output if all others are done; None for all shards.
      request: identifies the output; notes of other requests are ignored.
      prepare: called by every partition before its first shard: writes files in the output that workers read.
      finish: called with the seconds of each step once the output is complete.
    Raises:
      UserError, Locked, SystemExit or RuntimeError: as `_opened` and `shards.run`.
    """
    templates.refuse(options, "--partition", given=share is not None)
    with _opened(output, kind, same, overwrite=overwrite, partition=share, request=request) as ticket:
        if ticket is None:
            print(f"{output} is already complete: nothing to do (use --overwrite to regenerate it)")
            return
        seconds = _run(
            specs,
            work,
            describe,
            output=output,
            kind=kind,
            options=options,
            partition=share,
            request=request,
            prepare=prepare,
            ticket=ticket,
        )
        if seconds is not None:
            finish(seconds)


@contextmanager
def _opened(
    output: str,
    kind: Kind,
    same: Callable[[str], bool],
    *,
    overwrite: bool,
    partition: Partition | None,
    request: dict[str, Any],
) -> Iterator[Ticket | None]:
    """Hold the lock of an output, and yield its ticket, or None if the output is already complete.

    Partitions of one request run side by side, each only once; all other runs exclude each other.

    Raises:
      UserError: as `outputs.is_done`, or a partition is combined with `overwrite`.
      Locked: another process is writing there, or has taken over the output.
    """
    if partition and overwrite:
        raise UserError(f"--overwrite cannot be combined with --partition: remove {output} first")
    if outputs.is_done(output, kind, same, overwrite=overwrite):
        yield None
        return
    is_new = not listing.is_remote(output) and not os.path.isdir(output)
    try:
        with output_lock.locked(output, partition, request) as lock:
            # Another run may have completed the output since.
            done = outputs.is_done(output, kind, same, overwrite=overwrite)
            try:
                yield None if done else lock.ticket
            except templates.Described:
                lock.leave()
                raise
            except Exception:
                lock.check()  # engines wrap what their workers raise, so a lost lock must be found here
                raise
            lock.check()
    finally:
        if is_new:
            with suppress(OSError):  # not empty: something was written
                os.rmdir(output)


def _run(
    specs: list[ShardSpec],
    work: beam.PTransform,
    describe: Describe,
    *,
    output: str,
    kind: Kind,
    options: PipelineOptions,
    partition: Partition | None,
    request: dict[str, Any],
    prepare: Callable[[], None],
    ticket: Ticket,
) -> dict[str, float] | None:
    """Remove what other runs left; return the seconds of each step, or None if other partitions are not done yet."""
    names = [outputs.name_of(spec.path) for spec in specs]
    specs = [replace(spec, ticket=ticket) for spec in specs]
    dry_run = options.view_as(TestOptions).dry_run  # writes nothing, so nothing is removed
    if partition is None and not dry_run:
        outputs.remove(output, kind)
        outputs.mark(output, kind, names, forget=True)
        prepare()
    if partition is None or dry_run:
        return shards.run(specs, work, describe, output=output, names=kind.names, options=options, ticket=ticket)
    outputs.mark(output, kind, names)
    seconds: dict[str, float] = {}
    if _is_noted(output, kind, partition, request):
        print(f"partition {partition.index}/{partition.count} of {output} is already done")
    else:
        mine, name = partition.of(specs), outputs.note_name(kind.names, partition.index, partition.count)
        note = functools.partial(_write_note, output=output, name=name, request=request, mine=mine, ticket=ticket)
        seconds = _write_partition(mine, work, note, prepare, output=output, kind=kind, options=options, name=name)
    if not _complete_if_last(
        specs, describe, output=output, kind=kind, partition=partition, request=request, ticket=ticket
    ):
        return None
    # Remove the notes, and the shards of unfinished runs with other options.
    outputs.remove(output, kind, keep={*names, *kind.fixed})
    outputs.mark(output, kind, names, forget=True)
    return seconds


def _write_partition(
    specs: list[ShardSpec],
    work: beam.PTransform,
    note: Callable[[list[ShardResult]], None],
    prepare: Callable[[], None],
    *,
    output: str,
    kind: Kind,
    options: PipelineOptions,
    name: str,
) -> dict[str, float]:
    """Write the shards of a partition, and its note, under `name`; return the seconds of each step."""
    if not specs:
        note([])
        return {}
    prepare()
    seconds = shards.execute(specs, work, note, output=output, options=options)
    # In this order: another process may complete the output at any moment, and then removes the notes.
    if name not in outputs.sizes(output) and not outputs.is_complete(output, kind):
        shards.check_there(output, {name})
    return seconds


def _write_note(
    results: list[ShardResult],
    *,
    output: str,
    name: str,
    request: dict[str, Any],
    mine: list[ShardSpec],
    ticket: Ticket,
) -> None:
    ticket.check()
    shards.check_counts(results, output, {spec.path: len(spec.items) for spec in mine})
    note = {"request": request, "results": [vars(result) for result in results]}
    with shards.whole_file(FileSystems.join(output, name)) as file:
        file.write(json.dumps(note).encode())


def _read_note(output: str, kind: Kind, index: int, count: int, request: dict[str, Any]) -> list[ShardResult] | None:
    """Return the results of a partition; None if its note is missing or belongs to another request."""
    for names in (kind.names, kind.former):
        path = FileSystems.join(output, outputs.note_name(names, index, count))
        if (results := _noted_at(path, request)) is not None:
            return results
    return None


def _noted_at(path: str, request: dict[str, Any]) -> list[ShardResult] | None:
    try:
        with FileSystems.open(path) as file:
            note = json.loads(file.read())
    except Exception:  # each file system has its own exception for a missing file
        if listing.exists(path):
            raise
        return None
    if note["request"] != json.loads(json.dumps(request)):
        return None
    results = [ShardResult(**raw) for raw in note["results"]]
    for result in results:
        result.tallies = {name: Counter(counts) for name, counts in result.tallies.items()}
        result.rejects = [(key, reason, detail) for key, reason, detail in result.rejects]
    return results


def _is_noted(output: str, kind: Kind, partition: Partition, request: dict[str, Any]) -> bool:
    """Return whether the partition has its note, and its files are still as noted."""
    results = _read_note(output, kind, partition.index, partition.count, request)
    sizes = outputs.sizes(output)
    return results is not None and all(sizes.get(outputs.name_of(r.path)) == r.bytes for r in results)


def _complete_if_last(
    specs: list[ShardSpec],
    describe: Describe,
    *,
    output: str,
    kind: Kind,
    partition: Partition,
    request: dict[str, Any],
    ticket: Ticket,
) -> bool:
    notes = [_read_note(output, kind, index, partition.count, request) for index in range(partition.count)]
    results = [result for note in notes if note is not None for result in note]
    if None not in notes:
        shards.complete(
            sorted(results, key=lambda result: result.path),
            output,
            {spec.path: len(spec.items) for spec in specs},
            describe,
            kind.names,
            ticket,
        )
        return True
    # Another process may have completed it and removed the notes while they were read.
    if outputs.is_complete(output, kind):
        return True
    count, done = partition.count, sum(note is not None for note in notes)
    print(f"partition {partition.index}/{count} of {output} is done; {done} of {count} are done so far")
    return False
