"""Code shared by all command lines: one-line errors with exit status 2, and help that shows defaults."""

import argparse
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from trainer import logs, terminal, troubles
from trainer.exit_status import LOCKED_STATUS, USER_ERROR_STATUS

EXPERIMENT = "settings of the network and its training, by their name in trainer/config/experiments.py"
READ_OTHERWISE = "override how numbers are decoded, e.g. decode.views=[1.0] decode.closer=false"


_completing = False  # whether the shell asks for completions, which the next parser gives


def complete_at_parsing() -> None:
    """Let the next parser complete the line that the shell has passed, instead of parsing."""
    global _completing
    _completing = True


def complete(words: Iterable[str], *flags: str) -> None:
    """Complete the line to one of some words and flags, and end the process."""
    import argcomplete

    parser = argparse.ArgumentParser()
    parser.add_argument("word", choices=list(words))
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    argcomplete.autocomplete(parser)


class UserError(ValueError):
    """A user error: the message says what is wrong, where, and what to do next; `status` is the exit status."""

    def __init__(self, message: str, status: int = USER_ERROR_STATUS) -> None:
        super().__init__(message)
        self.status = status


class Locked(Exception):
    """A folder is in use by another process: the message says by which one, and what to do."""


def local_or_gs(flag: str, path: str) -> None:
    """Raise UserError for a path in an object store other than gs://, which TensorFlow does not support here."""
    if not path.startswith("gs://"):
        raise UserError(
            f"{flag} {path}: the trainer supports only local paths and gs://; copy the files to one of these"
        )


def parser(
    *,
    description: str,
    example: str,
    check_place: Callable[[str, str], None] = local_or_gs,
    check_reach: Callable[[str, str], None] = lambda flag, path: None,
) -> argparse.ArgumentParser:
    """Return a parser whose help shows every default and ends in a copy-paste example.

    The example begins with `python -m MODULE`, which the usage line repeats. `check_place` is called with the name and
    value of each argument that is a URL, e.g. `gs://bucket`, and raises UserError if that store is not supported. Once
    it has accepted all of them, `check_reach` is called in the same way, which may wait for a store.
    """
    made = _Parser(
        prog=" ".join(example.split()[:3]),
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    made.check_place, made.check_reach = check_place, check_reach
    logs.add_arguments(made)
    return made


class _Parser(argparse.ArgumentParser):
    check_place: Callable[[str, str], None]
    check_reach: Callable[[str, str], None]
    completes = False

    def parse_known_args(self, args=None, namespace=None):
        if self.completes:  # argcomplete parses the incomplete line in its own way
            return super().parse_known_args(args, namespace)
        if _completing:
            import argcomplete

            self.completes = True
            argcomplete.autocomplete(self)  # ends the process
        logs.choose(sys.argv[1:] if args is None else args)
        parsed, further = super().parse_known_args(args, namespace)
        for name in logs.NAMES:  # they do not affect results, so they are not recorded
            delattr(parsed, name)
        for check in (self.check_place, self.check_reach):
            for name, url in self._urls(parsed):
                check(name, url)
        return parsed, further

    def _urls(self, parsed: argparse.Namespace) -> Iterator[tuple[str, str]]:
        for action in self._actions:
            value = getattr(parsed, action.dest, None)
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and re.match(r"@?[A-Za-z][A-Za-z0-9+.-]*://", one):
                    name = action.option_strings[-1] if action.option_strings else action.dest
                    yield name, one.removeprefix("@")

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message} (see --help)")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show the default after each flag, and keep the line breaks of the example."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.required or action.default == []:
            return action.help
        return super()._get_help_string(action)


def exit_status(run: Callable[[list[str] | None], None], argv: list[str] | None) -> int:
    """Run a command and return its exit status; print errors of the user or the machine as one line."""
    try:
        with terminal.printable_output():
            return _status(run, argv)
    except BrokenPipeError:  # as in `command | head`
        sys.stderr.close()
        return 141


def _status(run: Callable[[list[str] | None], None], argv: list[str] | None) -> int:
    try:
        try:
            run(argv)
        finally:  # also after --help; a full disk may show only here
            if sys.stdout:
                sys.stdout.flush()
    except UserError as error:
        logs.say(f"error: {error}", logging.ERROR)
        return error.status
    except Locked as error:
        logs.say(f"error: {error}", logging.ERROR)
        return LOCKED_STATUS
    except KeyboardInterrupt:
        logs.say("interrupted", logging.ERROR)
        return 130
    except Exception as error:
        if not (described := troubles.describe(error)):
            raise
        logs.say(f"error: {described[0]}", logging.ERROR)
        return described[1]
    return 0


def accept_former(parser: argparse.ArgumentParser, flag: str, *, of: argparse.Action) -> None:
    """Accept an option also under a former name, which neither the help nor the shell's completion shows."""
    parser.add_argument(
        flag, dest=of.dest, type=of.type or str, metavar=of.metavar, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def add_settings(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Add `--set KEY=VALUE ...`, which can be given more than once."""
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=what)
