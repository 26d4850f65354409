"""A sample of the table small enough for every run of the tests."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Case(Protocol):
    """A `pytest.Item`: one with parameters has a `callspec`, too."""

    @property
    def nodeid(self) -> str: ...


AnyCase = TypeVar("AnyCase", bound=Case)


def sampled(items: Sequence[AnyCase]) -> set[AnyCase]:
    """Return cases in which each test meets each of its commands, and each bad situation occurs in some test.

    Not every command meets every situation. The choice depends only on the order of the cases.
    """
    chosen: set[AnyCase] = set()
    seen: set[tuple[str, str]] = set()
    # First those in which everything is new, e.g. the diagonal of commands x situations: few are needed after them.
    for enough in (all, any):
        for item in items:
            parts = _parts(item)
            if enough(part not in seen for part in parts):
                chosen.add(item)
                seen |= parts
    return chosen


def _parts(item: Case) -> set[tuple[str, str]]:
    """Return what a case consists of: its test with its command, and its other parameters, e.g. a name of a file."""
    callspec = getattr(item, "callspec", None)  # None for a test without parameters
    params = dict(callspec.params) if callspec else {}
    test = item.nodeid.partition("[")[0]
    return {(test, params.pop("module", "")), *((name, repr(value)) for name, value in params.items())}
