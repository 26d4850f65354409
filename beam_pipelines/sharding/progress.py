"""Show the progress of a run by the files that appear, which works with any engine; measure the time of its steps."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.runners.runner import PipelineResult

from beam_pipelines.sharding import listing
from trainer import logs
from trainer import progress as bars

PROGRESS_SECONDS = 2.0
MILLISECONDS = "milliseconds"  # the namespace of Beam's distributions, one per step


@contextmanager
def shown(asked: dict[str, int], output: str) -> Iterator[None]:
    """Show on standard error how many items are done; `asked` has the number of items by path of their shard."""
    over = threading.Event()
    with bars.bar(output, sum(asked.values()), unit="image") as show:
        thread = threading.Thread(target=_watch, args=(asked, output, over, show), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _watch(asked: dict[str, int], output: str, over: threading.Event, show: Callable[[int], None]) -> None:
    begin, total, shown = time.monotonic(), sum(asked.values()), -1
    lines = not (bars.drawn() or logs.chosen().quiet or logs.chosen().json)
    while not over.wait(PROGRESS_SECONDS):
        try:
            written = {file.path for file in listing.files(output).values()}
        except OSError:  # the storage is briefly unavailable; the run itself decides whether that matters
            continue
        done = sum(count for path, count in asked.items() if path in written)
        show(done)
        if lines and done not in (shown, 0):
            rate = done / (time.monotonic() - begin)
            shards = sum(path in written for path in asked)
            logs.say(
                f"{output}: {done:,} of {total:,}, {shards} of {len(asked)} shards, "
                f"{rate:,.0f}/s, {(total - done) / rate:.0f} s left"
            )
            shown = done


def count_seconds(step: str, seconds: float) -> None:
    """Add the seconds that a step took in one shard to Beam's metrics."""
    Metrics.distribution(MILLISECONDS, step).update(round(1000 * seconds))


def seconds_by_step(result: PipelineResult) -> dict[str, float]:
    """Return the seconds of each step, summed over all workers; empty if the engine has no metrics."""
    try:
        metrics = result.metrics().query(MetricsFilter().with_namespace(MILLISECONDS))["distributions"]
    except NotImplementedError:
        return {}
    return {metric.key.metric.name: metric.result.sum / 1000 for metric in metrics}
