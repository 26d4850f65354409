"""The engine of all pipelines: shard specs in, complete files out; it verifies counts and marks the output complete.

A shard is the unit of work: one DoFn builds and writes all of it, to a temporary file that it renames, and
reports what is in it. Records never pass through a shuffle, so no engine can lose or repeat one, and
a retry writes the same bytes again. The pipeline is linear, without tags or side inputs, since not
every engine runs more than that correctly.
"""

import functools
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, TestOptions

from beam_pipelines.sharding import beam_options, interrupts, outputs, progress, templates
from beam_pipelines.sharding.whole_file import whole_file
from trainer import logs
from trainer.cli import UserError
from trainer.data.formats.output_names import OutputNames
from trainer.files.lock import Ticket


class Reject(Exception):
    """An item that cannot be processed.

    Attributes:
      reason: the name under which it is counted, e.g. `undecodable`.
      detail: what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class ShardSpec:
    """The specification of one shard: its file, its split, and its items in order (a range takes no space).

    `ticket` proves that the output still belongs to the run that asked for the shard.
    """

    path: str
    split: str
    items: Sequence[Any]
    ticket: Ticket | None = None


@dataclass
class ShardResult:
    """The result of one shard: `items` = `written` + rejects, each reject being (key, reason, detail).

    `tallies` counts the written items by property, e.g. by source.
    """

    path: str
    split: str
    items: int
    written: int = 0
    bytes: int = 0
    crc32c: str = ""
    tallies: dict[str, Counter[str]] = field(default_factory=dict)
    rejects: list[tuple[str, str, str]] = field(default_factory=list)

    def tally(self, property_name: str, value: Any) -> None:
        self.tallies.setdefault(property_name, Counter())[str(value)] += 1


# A function that returns the files (name -> text) which describe an output, given its results sorted by path.
Describe = Callable[[list[ShardResult]], dict[str, str]]


def deal(
    items: Sequence[Any], *, output: str, split: str, num_shards: int, name: Callable[[str, int, int], str]
) -> list[ShardSpec]:
    """Deal items to shards, item i to shard i modulo `num_shards`; no shard is empty.

    Raises:
      UserError: `num_shards` is below 1.
    """
    if num_shards < 1:
        raise UserError(f"--num-shards {num_shards}: it must be at least 1")
    num_shards = min(num_shards, len(items))
    return [
        ShardSpec(FileSystems.join(output, name(split, shard, num_shards)), split, items[shard::num_shards])
        for shard in range(num_shards)
    ]


@contextmanager
def shard_file(spec: ShardSpec) -> Iterator[BinaryIO]:
    """Open the file of a shard, which appears under its final name once it is complete.

    Raises:
      Lost: another run has since taken over the output. A worker may outlive the command that started it.
    """
    with whole_file(spec.path) as file:
        yield file
        if spec.ticket is not None:
            spec.ticket.check()


def count_metrics(result: ShardResult, seconds: float) -> None:
    """Add a finished shard to Beam's metrics."""
    Metrics.counter("records", "in").inc(result.items)
    Metrics.counter("records", "written").inc(result.written)
    Metrics.counter("records", "bytes").inc(result.bytes)
    for _, reason, _ in result.rejects:
        Metrics.counter("rejects", reason).inc()
    progress.count_seconds("shard", seconds)


class Finish(beam.PTransform):
    """`PCollection[ShardResult]` -> one call of `conclude` with all of them, in the order of their paths."""

    def __init__(self, conclude: Callable[[list[ShardResult]], None]) -> None:
        super().__init__()
        self.conclude = conclude

    def expand(self, results: beam.PCollection[ShardResult]) -> beam.PCollection[Any]:
        return (
            results
            | "Together" >> beam.Map(lambda result: (0, result))
            | "Gather" >> beam.GroupByKey()
            | "Sort" >> beam.Map(lambda gathered: sorted(gathered[1], key=lambda result: result.path))
            | "Complete" >> beam.Map(self.conclude)
        )


def check_counts(results: list[ShardResult], output: str, asked: dict[str, int]) -> None:
    """Raise RuntimeError unless the counts, by path of the shard, are as requested, and the files exist.

    Engines have lost elements and still reported success, so only the counts are trusted.
    """
    done = {result.path: result.written + len(result.rejects) for result in results}
    if len(done) < len(results) or done != asked:
        differing = sorted(set(done.items()) ^ set(asked.items()))
        raise RuntimeError(f"{output}: shards differ from what was asked for: {differing[:4]}")
    sizes = outputs.sizes(output)
    torn = [result.path for result in results if sizes.get(outputs.name_of(result.path)) != result.bytes]
    if torn:
        raise RuntimeError(f"{torn[0]} is not as it was written: do all workers share this --output?")


def complete(
    results: list[ShardResult],
    output: str,
    asked: dict[str, int],
    describe: Describe,
    names: OutputNames,
    ticket: Ticket | None = None,
) -> None:
    """Describe the output, and mark it as complete, if `check_counts` passes.

    Raises:
      Lost: another run has taken over the output.
    """
    begin = time.monotonic()
    check_counts(results, output, asked)
    rejects = sorted(reject for result in results for reject in result.rejects)
    lines = [json.dumps({"key": key, "reason": why, "detail": detail}) + "\n" for key, why, detail in rejects]
    for name, text in {names.rejects: "".join(lines), **describe(results), names.completed: ""}.items():
        if ticket is not None:
            ticket.check()
        with whole_file(FileSystems.join(output, name)) as file:
            file.write(text.encode())
    progress.count_seconds("complete", time.monotonic() - begin)


def reject_counts(results: Iterable[ShardResult]) -> dict[str, int]:
    """Return the number of rejects by reason."""
    return dict(sorted(Counter(reason for result in results for _, reason, _ in result.rejects).items()))


def run(
    specs: list[ShardSpec],
    work: beam.PTransform,
    describe: Describe,
    *,
    output: str,
    names: OutputNames,
    options: PipelineOptions,
    ticket: Ticket | None = None,
) -> dict[str, float]:
    """Write all shards and complete the output.

    Args:
      specs: the shards.
      work: a transform from `PCollection[ShardSpec]` to `PCollection[ShardResult]`.
      describe: returns the files that describe the output.
      output: the folder, without files of earlier runs.
      names: of the files that complete the output.
      options: Beam's options.
      ticket: of the output's lock.
    Returns:
      The seconds of each step, summed over all workers, if the engine reports them.
    Raises:
      SystemExit: with --dry_run=True or --template_location, with status 0: nothing was run.
      RuntimeError: the engine reported success, but the output is not complete.
    """
    asked = {spec.path: len(spec.items) for spec in specs}
    conclude = functools.partial(complete, output=output, asked=asked, describe=describe, names=names, ticket=ticket)
    seconds = execute(specs, work, conclude, output=output, options=options)
    check_there(output, {names.completed, *map(outputs.name_of, asked)})
    return seconds


def check_there(output: str, names: set[str]) -> None:
    """Raise RuntimeError if a file is missing from the output."""
    if not outputs.sizes(output).keys() >= names:
        raise RuntimeError(
            f"the engine reported success, but {output} is not complete: run the command again; "
            "workers on other machines need an --output that this machine can access, too"
        )


def execute(
    specs: list[ShardSpec],
    work: beam.PTransform,
    conclude: Callable[[list[ShardResult]], None],
    *,
    output: str,
    options: PipelineOptions,
) -> dict[str, float]:
    """Run the pipeline with progress on standard error, and wait for it; a worker calls `conclude` with all results.

    The other arguments are those of `run`.
    """
    local = options.view_as(StandardOptions).runner == beam_options.LOCAL_RUNNER
    elsewhere = "" if local else "; a remote job keeps running until it is cancelled there"
    with interrupts.ended_at_once(f"interrupted: run the same command again to complete {output}{elsewhere}"):
        return _execute(specs, work, conclude, output=output, options=options)


def _execute(
    specs: list[ShardSpec],
    work: beam.PTransform,
    conclude: Callable[[list[ShardResult]], None],
    *,
    output: str,
    options: PipelineOptions,
) -> dict[str, float]:
    # Beam relays each worker's log, including harmless warnings; failures are both logged and raised.
    for name in () if logs.chosen().verbose else ("apache_beam", "distributed"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local = options.view_as(StandardOptions).runner == beam_options.LOCAL_RUNNER
    pipeline = beam.Pipeline(runner=interrupts.local_runner(options) if local else None, options=options)
    _ = (
        pipeline
        | "Shards" >> beam.Create(specs, reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Work" >> work
        | Finish(conclude)
    )
    with progress.shown({spec.path: len(spec.items) for spec in specs}, output):
        result = pipeline.run()
        result.wait_until_finish()
    if options.view_as(TestOptions).dry_run:
        print(f"dry run: the job that writes {output} can be submitted; nothing was run")
        sys.exit(0)
    if templates.is_asked_for(options):
        print(f"template: the job that writes {output} is described; Dataflow runs it")
        raise templates.Described(0)
    return progress.seconds_by_step(result)
