"""A section of the report, and how it handles files that are damaged or missing."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainer.cli import UserError


@dataclass(frozen=True)
class Section:
    """A heading, the template below it, and the values that the template shows."""

    title: str
    template: str
    values: dict[str, Any]

    @property
    def anchor(self) -> str:
        """The id of the section in the page."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Figure:
    """A figure of the summary: its name, its value and its uncertainty, for display."""

    name: str
    value: str
    note: str = ""


@contextlib.contextmanager
def named_if_damaged(name: str, advice: str) -> Iterator[None]:
    """Raise UserError for values that cannot be shown: of the JSON in the files, only the keys have been checked."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{name} is damaged ({error!r}): {advice}") from error


def located(path: str, folder: str | None) -> str:
    """Return the current path of a file or folder, given its path as an earlier command named it.

    The report may be made in another working directory than the evaluation.

    Args:
      path: as the command named it.
      folder: the working directory of that command, None if unknown.
    """
    there = os.path.join(folder, path) if folder and "://" not in path else path
    return there if os.path.exists(there) else path


def percent(value: float, digits: int = 1) -> str:
    """Return a proportion as `87.3 %`."""
    return f"{100 * value:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """Return an interval of proportions as `83.2 to 90.5 %`."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"
