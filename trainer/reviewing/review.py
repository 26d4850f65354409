"""A review: the queue, the answers, which page shows which row, and what the answers say so far."""

import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone

from trainer.reviewing import promise
from trainer.reviewing.journal import Answer, Journal, Kind
from trainer.reviewing.predictions import Row
from trainer.reviewing.promise import Promise, Stratum
from trainer.reviewing.queue import Queue

HELD_SECONDS = 600.0  # for which a row that one page shows is not given to another


@dataclass(frozen=True)
class Progress:
    """How many rows are answered, and of how many: of the queue, and of the sample; and all answers by kind."""

    answered: int
    total: int
    sample_answered: int
    sample_total: int
    kinds: dict[str, int]


class Review:
    """A queue with its answers; thread-safe."""

    def __init__(self, rows: Queue, journal: Journal) -> None:
        self.queue, self.journal = rows, journal
        self._held: dict[int, tuple[str, float]] = {}  # by row: the page that shows it, and since when
        self._mutex = threading.Lock()

    def next(self, page: str, not_: Collection[int]) -> Row | None:
        """Return the first row of the queue without an answer that no other page shows, None if there is none.

        Args:
          page: an identifier that the page has chosen for itself.
          not_: numbers of rows that the page has already or does not want.
        """
        self.journal.refresh()
        with self._mutex:
            now = time.monotonic()
            for number in self.queue.order:
                row = self.queue.rows[number]
                if number in not_ or self.journal.current(row.key):
                    continue
                holder, since = self._held.get(number, (page, now))
                if holder == page or now - since > HELD_SECONDS:
                    self._held[number] = (page, now)
                    return row
        return None

    def answer(
        self,
        row: Row,
        kind: Kind,
        text: str,
        *,
        box_right: bool,
        reviewer: str,
        seen: int,
        box: tuple[float, ...] | None = None,
    ) -> None:
        """Store an answer; see `Answer` and `Journal.add`."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        given = Answer(row.key, kind, text, box_right, reviewer, now, "" if row.shows_none else row.text, box)
        self.journal.add(given, seen=seen)

    def progress(self) -> Progress:
        """Return the progress of the review."""
        keys = self.journal.keys()
        sampled = [key for one in self.queue.sample for key in one]
        kinds = Counter(answer.kind for key in keys if (answer := self.journal.current(key)))
        return Progress(
            sum(self.queue.rows[number].key in keys for number in self.queue.order),
            len(self.queue.order),
            sum(key in keys for key in sampled),
            len(sampled),
            {kind: kinds[kind] for kind in ("number", "none", "unreadable")},
        )

    def promises(self) -> list[Promise]:
        """Return what the answers about the sample promise for all rows."""
        right = {
            row.key: is_right(row, answer)
            for row in self.queue.rows.values()
            if (answer := self.journal.current(row.key))
        }
        strata = [
            Stratum(low, size, sum(key in right for key in keys), sum(right.get(key, False) for key in keys))
            for low, size, keys in zip(self.queue.edges, self.queue.sizes, self.queue.sample, strict=True)
        ]
        return promise.table(strata, self.queue.min_confidence)


def is_right(row: Row, answer: Answer) -> bool:
    """Return whether the model's answer agrees with the reviewer's; unreadable images count as wrong."""
    if answer.kind == "none":
        return row.shows_none or not row.text
    return answer.kind == "number" and answer.text == row.text and not row.shows_none
