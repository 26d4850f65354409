"""Wait for the end of an outage of the API server; runs continue without it."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Outage(Exception):
    """The API server cannot be reached, or fails; a later try may succeed."""


def outlast(
    call: Callable[[], Result], name: str, tell: Callable[[str], None], *, seconds: float, pause: float
) -> Result:
    """Call a function until it succeeds, and return its result.

    Args:
      call: the function; it raises `Outage` during an outage.
      name: of the run.
      tell: called with a line when an outage begins and when it ends.
      seconds: how long an outage may last.
      pause: seconds between two calls.
    Raises:
      Outage: it lasted longer than `seconds`.
    """
    begin, told = time.monotonic(), False
    while True:
        try:
            result = call()
        except Outage as outage:
            if time.monotonic() - begin > seconds:
                raise Outage(f"{outage}; run {name} continues, repeat the command to follow it") from outage
            if not told:
                tell(f"{outage}; run {name} continues without it: trying again")
            told = True
            time.sleep(pause)
            continue
        if told:
            tell("the cluster answers again")
        return result
