"""Control what all commands write to standard error, and in which format: `-q`, `-v` and `--log-format`.

Results go to standard output, which none of these flags changes.
"""

import argparse
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType

NAMES = ("quiet", "verbose", "log_format")  # of the flags, in the parsed arguments


@dataclass(frozen=True)
class Choice:
    """The choices that the flags make."""

    quiet: bool = False
    verbose: bool = False
    log_format: str = "text"

    @property
    def json(self) -> bool:
        return self.log_format == "json"

    def words(self) -> list[str]:
        """Return the flags, for another command that this one runs."""
        flags = [*(["--quiet"] if self.quiet else []), *(["--verbose"] if self.verbose else [])]
        return [*flags, *(["--log-format", self.log_format] if self.json else [])]


_chosen = Choice()
_labels: dict[str, str] = {}  # in every JSON object
_handler: logging.Handler | None = None  # ours, of the root logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("messages")
    amount = group.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="no progress; only warnings and errors")
    amount.add_argument("-v", "--verbose", action="store_true", help="also messages of TensorFlow and Beam")
    group.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="format of standard error; json: one object per line, as Cloud Logging reads it",
    )


def choose(words: Sequence[str]) -> None:
    """Apply the flags in a command line from now on, even if other arguments are wrong."""
    global _chosen
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_arguments(parser)
    try:
        _chosen = Choice(**vars(parser.parse_known_args(words)[0]))
    except argparse.ArgumentError:  # the command's own parser explains it
        return
    if _chosen.json:
        logging.captureWarnings(True)
        sys.excepthook = _say_exception
        threading.excepthook = lambda args: _say_exception(args.exc_type, args.exc_value, args.exc_traceback)
    if _chosen.json or _chosen.verbose:
        _log(logging.INFO if _chosen.verbose else logging.WARNING)


def chosen() -> Choice:
    """Return the choices of the command line."""
    return _chosen


def start(**labels: str) -> None:
    """Start logging as chosen; the labels become part of every JSON object."""
    _labels.update(labels)
    _log(logging.WARNING if _chosen.quiet else logging.INFO)


def say(text: str, level: int = logging.INFO) -> None:
    """Write a message to standard error, unless `--quiet` suppresses it."""
    if level >= logging.WARNING or not _chosen.quiet:
        line = as_json(text, logging.getLevelName(level)) if _chosen.json else text
        print(line, file=sys.stderr, flush=True)


def as_json(message: str, severity: str, seconds: float | None = None, **labels: str) -> str:
    """Return a JSON object as Cloud Logging reads it; `seconds` since the epoch, now by default."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, timezone.utc)
    return json.dumps({"severity": severity, "message": message, "time": moment.isoformat(), **_labels, **labels})


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_json(super().format(record), record.levelname, record.created)


def _log(level: int) -> None:
    """Write the log to standard error, unless this process already logs elsewhere, as in a test or a notebook."""
    global _handler
    root = logging.getLogger()
    if not root.handlers:
        _handler = logging.StreamHandler(sys.stderr)
        text = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
        _handler.setFormatter(_JsonFormatter() if _chosen.json else text)
        root.addHandler(_handler)
    if _handler in root.handlers:
        root.setLevel(level)


def _say_exception(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)).rstrip(), logging.CRITICAL)
