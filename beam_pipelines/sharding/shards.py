"""The way all our pipelines work: shard specs in, whole files out, counts verified, COMPLETED last.

A shard is the unit of work: one DoFn makes and writes it whole, to a temporary file that it renames, and
reports what is in it. No record travels through a shuffle, so no engine can lose or repeat one, and
a retry writes the same bytes again. The pipeline is linear and free of tags and side inputs, since not
every engine runs more than that correctly.
"""

import argparse
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
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions, TestOptions

from beam_pipelines.sharding import interrupts, outputs, progress
from beam_pipelines.sharding.whole_file import whole_file
from trainer.cli import UserError
from trainer.data.dataset_info import COMPLETED_FILE, REJECTS_FILE
from trainer.files.lock import Ticket

# DirectRunner would try to download the Prism engine at each start.
LOCAL_RUNNER = "FnApiRunner"


class Reject(Exception):
    """Something that cannot be processed.

    Attributes:
      reason: the name under which it is counted, e.g. `undecodable`.
      detail: what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class ShardSpec:
    """What goes into one shard: its file, its split, and its items in their order (a range takes no space).

    `ticket` proves that the output still belongs to the run that asked for the shard.
    """

    path: str
    split: str
    items: Sequence[Any]
    ticket: Ticket | None = None


@dataclass
class ShardResult:
    """What went into one shard: `items` = `written` + rejects, each of them (key, reason, detail).

    `tallies` counts what was written by some property, e.g. its source.
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


# Makes the files (name -> text) that describe a finished output from the results, in the order of their paths.
Describe = Callable[[list[ShardResult]], dict[str, str]]


def deal(
    items: Sequence[Any], *, output: str, split: str, num_shards: int, name: Callable[[str, int, int], str]
) -> list[ShardSpec]:
    """Deals items onto shards, item i to shard i modulo `num_shards`; there are no empty shards.

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
    """Open the file of a shard, which appears under its name when it is complete.

    Raises:
      Lost: another run has taken the output over meanwhile. A worker may outlive the command that started it.
    """
    with whole_file(spec.path) as file:
        yield file
        if spec.ticket is not None:
            spec.ticket.check()


def count_metrics(result: ShardResult, seconds: float) -> None:
    """Beam metrics of a finished shard."""
    Metrics.counter("records", "in").inc(result.items)
    Metrics.counter("records", "written").inc(result.written)
    Metrics.counter("records", "bytes").inc(result.bytes)
    for _, reason, _ in result.rejects:
        Metrics.counter("rejects", reason).inc()
    progress.count_seconds("shard", seconds)


class Finish(beam.PTransform):
    """`PCollection[ShardResult]` -> all of them together, in the order of their paths, to one call of `conclude`."""

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
    """Raises RuntimeError unless the counts, by path of the shard, are what was asked for, and the files are there.

    Engines have lost elements and ended with success, so only the counts are trusted.
    """
    done = {result.path: result.written + len(result.rejects) for result in results}
    if len(done) < len(results) or done != asked:
        differing = sorted(set(done.items()) ^ set(asked.items()))
        raise RuntimeError(f"{output}: shards differ from what was asked for: {differing[:4]}")
    there = outputs.sizes(output)
    torn = [result.path for result in results if there.get(outputs.name_of(result.path)) != result.bytes]
    if torn:
        raise RuntimeError(f"{torn[0]} is not as it was written: do all workers share this --output?")


def complete(
    results: list[ShardResult], output: str, asked: dict[str, int], describe: Describe, ticket: Ticket | None = None
) -> None:
    """Describe the output, and mark it as complete, once `check_counts` agrees.

    Raises:
      Lost: another run has taken the output over.
    """
    begin = time.monotonic()
    check_counts(results, output, asked)
    rejects = sorted(reject for result in results for reject in result.rejects)
    lines = [json.dumps({"key": key, "reason": why, "detail": detail}) + "\n" for key, why, detail in rejects]
    for name, text in {REJECTS_FILE: "".join(lines), **describe(results), COMPLETED_FILE: ""}.items():
        if ticket is not None:
            ticket.check()
        with whole_file(FileSystems.join(output, name)) as file:
            file.write(text.encode())
    progress.count_seconds("complete", time.monotonic() - begin)


def reject_counts(results: Iterable[ShardResult]) -> dict[str, int]:
    """Rejects by reason."""
    return dict(sorted(Counter(reason for result in results for _, reason, _ in result.rejects).items()))


def options_from(beam_args: Sequence[str]) -> PipelineOptions:
    """Beam's options from the arguments that a command line did not know itself.

    Raises:
      UserError: Beam does not know one either, has no such runner, or the runner refuses a value.
    """
    # It would warn of what is unknown, in words of its own, before the error below names it.
    logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
    options = PipelineOptions(list(beam_args))
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or LOCAL_RUNNER
    try:
        beam.Pipeline(options=options)  # loads the runner, and so its own options, and has it check their values
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"--runner {standard.runner}: {' '.join(str(error).split())}") from error
    parsers: list[argparse.ArgumentParser] = []
    options.get_all_options(add_extra_args_fn=parsers.append)
    unknown = parsers[0].parse_known_args(list(beam_args))[1]
    if unknown:
        raise UserError(f"unknown option {unknown[0]}: neither this command nor Beam has it (see --help)")
    if options.view_as(TestOptions).dry_run and not standard.runner.endswith("DataflowRunner"):
        raise UserError(f"--dry_run: {standard.runner} has no dry run and would write; only DataflowRunner has one")
    options.view_as(SetupOptions).save_main_session = False
    return options


def run(
    specs: list[ShardSpec],
    work: beam.PTransform,
    describe: Describe,
    *,
    output: str,
    options: PipelineOptions,
    ticket: Ticket | None = None,
) -> dict[str, float]:
    """Makes all shards and completes the output.

    Args:
      specs: the shards.
      work: a transform from `PCollection[ShardSpec]` to `PCollection[ShardResult]`.
      describe: makes the files that describe the output.
      output: the folder, of which nothing is there.
      options: Beam's.
      ticket: of the lock of the output.
    Returns:
      The seconds of each step, summed over all workers, where the engine tells.
    Raises:
      SystemExit: with --dry_run=True, with status 0: nothing was run.
      RuntimeError: the engine ended with success, but not all was done.
    """
    asked = {spec.path: len(spec.items) for spec in specs}
    conclude = functools.partial(complete, output=output, asked=asked, describe=describe, ticket=ticket)
    seconds = execute(specs, work, conclude, output=output, options=options)
    check_there(output, {COMPLETED_FILE, *map(outputs.name_of, asked)})
    return seconds


def check_there(output: str, names: set[str]) -> None:
    """Raises RuntimeError if a file is missing from the output."""
    if not outputs.sizes(output).keys() >= names:
        raise RuntimeError(
            f"the engine ended with success, but {output} is not complete: run the command again; "
            "workers on other machines need an --output that this one sees, too"
        )


def execute(
    specs: list[ShardSpec],
    work: beam.PTransform,
    conclude: Callable[[list[ShardResult]], None],
    *,
    output: str,
    options: PipelineOptions,
) -> dict[str, float]:
    """Runs the pipeline with progress on standard error, and waits for it; `conclude` gets all results, on a worker.

    The rest is as in `run`.
    """
    local = options.view_as(StandardOptions).runner == LOCAL_RUNNER
    elsewhere = "" if local else "; a job that runs elsewhere goes on until it is cancelled there"
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
    # Beam relays the log of each worker, harmless warnings and all; what fails is logged and raised.
    for name in ("apache_beam", "distributed"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local = options.view_as(StandardOptions).runner == LOCAL_RUNNER
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
    return progress.seconds_by_step(result)
