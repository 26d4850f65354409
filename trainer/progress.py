"""Show the progress of long work: a bar with rate and time left on a terminal; elsewhere nothing, or regular lines.

Work with more to report than the amount done writes its log lines itself.
"""

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from trainer import logs, terminal

log = logging.getLogger(__name__)

Batch = TypeVar("Batch", bound=Sized)
LINE_SECONDS = 30.0  # between the lines of a log


def drawn() -> bool:
    """Return whether bars are drawn: on a terminal, unless they were declined or the log is JSON."""
    chosen = logs.chosen()
    return bool(sys.stderr) and sys.stderr.isatty() and not chosen.quiet and not chosen.json


@contextlib.contextmanager
def bar(what: str, total: int, *, unit: str, done: int = 0, lines: bool = False) -> Iterator[Callable[[int], None]]:
    """Draw a bar within the block; yield a function to call with the amount done so far, out of the total.

    A nested bar replaces the outer one until it ends. With `lines`, the amount done is logged every `LINE_SECONDS` if
    no bar is drawn.
    """
    if not drawn():
        yield _logged(what, total, unit) if lines else lambda done: None
        return
    from tqdm import tqdm

    terminal.clear()
    size = shutil.get_terminal_size()  # 80 by 24 if the terminal does not report it
    made = tqdm(
        total=total,
        initial=done,
        desc=terminal.printable(what),
        unit=unit,
        unit_scale=unit == "B",
        file=terminal.unescaped(sys.stderr),
        leave=False,
        position=0,
        ncols=size.columns,
        nrows=size.lines,
    )
    with contextlib.closing(made), terminal.cleared_for_output(made.clear):

        def show(done: int) -> None:
            made.update(done - made.n)

        yield show


def batches(what: str, made: Iterable[Batch], total: int) -> Iterator[Batch]:
    """Yield batches of images, `total` images in all, with a bar that shows how many are done."""
    with bar(what, total, unit="image", lines=True) as show:
        done = 0
        for batch in made:
            yield batch
            done += len(batch)
            show(done)


def _logged(what: str, total: int, unit: str) -> Callable[[int], None]:
    begin = last = time.monotonic()

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            log.info("%s: %s of %s %ss, %.1f a second", what, f"{done:,}", f"{total:,}", unit, done / (now - begin))

    return show


@contextlib.contextmanager
def note(what: str) -> Iterator[None]:
    """Show what the block waits for, only on a terminal and until the block ends."""
    if not drawn():
        yield
        return
    stream = terminal.unescaped(sys.stderr)
    stream.write(f"{what} ...")
    stream.flush()
    try:
        yield
    finally:
        stream.write(f"\r{' ' * (len(what) + 4)}\r")
        stream.flush()
