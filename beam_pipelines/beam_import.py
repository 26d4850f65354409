"""Import Beam without a message, after the command line is parsed: it takes seconds of CPU."""

import logging

from trainer import logs, progress


def import_beam() -> None:
    """Import Beam; call it before any other import of it.

    Beam without its extra `gcp` warns of that whenever it is imported, and sets up logging to do so.
    """
    if logs.chosen().verbose:
        import apache_beam

        return
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with progress.note("loading Beam"):
            import apache_beam  # noqa: F401
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
