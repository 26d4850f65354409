"""Count which characters are confused with which, and the wrong answers that this causes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_LISTED = 30
MOST_IN_TABLE = 40  # characters


@dataclass(frozen=True)
class Confusion:
    """A character of labels that is read as another one; one of them is empty for an extra or a missing character.

    Attributes:
      label, read: the characters.
      times: how often it happens.
      share: `times` relative to the character's occurrences in labels; None for an extra character.
      cost: the number of wrong answers due to it; an answer with several errors counts for each in equal parts.
    """

    label: str
    read: str
    times: int
    share: float | None
    cost: float


@dataclass(frozen=True)
class Grid:
    """How often each character (row) was read as each other one (column); only characters that are ever confused."""

    rows: list[str]
    columns: list[str]
    counts: list[list[int]]
    highest: int


def by_cost(answers: Iterable[tuple[str, str]]) -> list[Confusion]:
    """Return the confusions in answers, pairs of the label and the text read, the most costly first."""
    times: Counter[tuple[str, str]] = Counter()
    cost: defaultdict[tuple[str, str], float] = defaultdict(float)
    occurrences: Counter[str] = Counter()
    for label, read in answers:
        occurrences.update(label)
        errors = [pair for pair in aligned(label, read) if pair[0] != pair[1]] if label != read else []
        times.update(errors)
        for pair in errors:
            cost[pair] += 1 / len(errors)
    found = [
        Confusion(label, read, count, count / occurrences[label] if label else None, cost[label, read])
        for (label, read), count in times.items()
    ]
    return sorted(found, key=lambda one: (-one.cost, -one.times, one.label, one.read))


def grid(found: Sequence[Confusion]) -> Grid:
    """Return a table of the confusions; if there are many characters, only of the most costly ones."""
    chosen: list[str] = []
    for one in found:
        chosen += [char for char in (one.label, one.read) if char not in chosen]
    kept = set(chosen[:MOST_IN_TABLE])
    times = {(one.label, one.read): one.times for one in found if {one.label, one.read} <= kept}
    rows, columns = (sorted({pair[side] for pair in times}) for side in (0, 1))
    counts = [[times.get((row, column), 0) for column in columns] for row in rows]
    return Grid(rows, columns, counts, max(times.values(), default=0))


def aligned(label: str, read: str) -> list[tuple[str, str]]:
    """Align a label and a text by the fewest edits (Levenshtein 1966); return pairs of characters, empty for a gap.

    Texts of the same length are compared position by position.
    """
    if len(label) == len(read):
        return list(zip(label, read, strict=True))
    begin = _common(label, read)
    end = _common(label[begin:][::-1], read[begin:][::-1])
    same = [(char, char) for char in label[:begin] + label[len(label) - end :]]
    return same + _edits(label[begin : len(label) - end], read[begin : len(read) - end])


def _common(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(one), len(other)))


def _edits(label: str, read: str) -> list[tuple[str, str]]:
    distance = [list(range(len(read) + 1))]
    for i, x in enumerate(label, start=1):
        row = [i]
        for j, y in enumerate(read, start=1):
            row.append(min(distance[-1][j] + 1, row[-1] + 1, distance[-1][j - 1] + (x != y)))
        distance.append(row)
    pairs, i, j = [], len(label), len(read)
    while i or j:
        if i and j and distance[i][j] == distance[i - 1][j - 1] + (label[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((label[i], read[j]))
        elif i and distance[i][j] == distance[i - 1][j] + 1:
            i -= 1
            pairs.append((label[i], ""))
        else:
            j -= 1
            pairs.append(("", read[j]))
    return pairs[::-1]
