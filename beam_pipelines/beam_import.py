"""Import Beam without its messages, and only after the command line is parsed, since it takes seconds of CPU."""

import contextlib
import importlib
import logging
from collections.abc import Iterator

from trainer import logs, progress


def import_beam() -> None:
    """Import Beam; call it before any other import of it."""
    with contextlib.nullcontext() if logs.chosen().verbose else _silenced(), progress.note("loading Beam"):
        importlib.import_module("apache_beam")


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Undo what Beam without its extra `gcp` does when it is imported: it sets up logging, and warns."""
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
