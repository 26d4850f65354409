"""Progress of long work: a bar with rate and time left on a terminal, and nothing elsewhere.

The lines that a log gets instead are the business of whoever does the work.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator

from trainer import logs, terminal


def drawn() -> bool:
    """Return whether bars are drawn: on a terminal, unless they were declined or the log is JSON."""
    chosen = logs.chosen()
    return bool(sys.stderr) and sys.stderr.isatty() and not chosen.quiet and not chosen.json


@contextlib.contextmanager
def bar(what: str, total: int, *, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Draw a bar within the block; yield a function that takes how much is done by now, of the total."""
    if not drawn():
        yield lambda done: None
        return
    from tqdm import tqdm

    made = tqdm(
        total=total,
        initial=done,
        desc=terminal.printable(what),
        unit=unit,
        unit_scale=unit == "B",
        file=terminal.unescaped(sys.stderr),
        leave=False,
        ncols=shutil.get_terminal_size().columns,  # 80 where a terminal does not tell
    )
    with contextlib.closing(made), terminal.cleared_for_output(made.clear):

        def show(done: int) -> None:
            made.update(done - made.n)

        yield show


@contextlib.contextmanager
def note(what: str) -> Iterator[None]:
    """Show what the block waits for, on a terminal only and until it ends."""
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
