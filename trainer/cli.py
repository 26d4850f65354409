"""What all command lines share: one-line errors with exit status 2, and help that shows defaults."""

import argparse
import sys
from collections.abc import Callable

USER_ERROR_STATUS = 2
READ_OTHERWISE = "read otherwise than configured, e.g. decode.views=[1.0] decode.closer=false"


class UserError(ValueError):
    """The user's mistake: the message says what was wrong, where, and what to do next."""


def parser(*, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose help ends in a copy-paste example and shows every default.

    The example begins with `python -m MODULE`, which the usage line then repeats.
    """
    return _Parser(
        prog=" ".join(example.split()[:3]),
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message} (see --help)")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults behind each flag, and the example kept as it is written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.required or action.default == []:
            return action.help
        return super()._get_help_string(action)


def exit_status(run: Callable[[list[str] | None], None], argv: list[str] | None) -> int:
    """Runs a command line; a `UserError` becomes one line on standard error and status 2."""
    try:
        run(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR_STATUS
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `command | head`
        sys.stderr.close()
        return 141
    return 0


def add_settings(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Adds `--set KEY=VALUE ...`, which can be given more than once."""
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=what)
