"""Count files that are not images by extension."""

from collections.abc import Mapping


def most_frequent(endings: Mapping[str, int]) -> dict[str, int]:
    """Return extensions and their counts, the most frequent first, whatever the order in which files were listed."""
    return dict(sorted(endings.items(), key=lambda one: (-one[1], one[0])))


def text(endings: Mapping[str, int]) -> str:
    """Return extensions and their counts in a line, the most frequent first, e.g. `12 .txt, 3 without extension`."""
    most = list(most_frequent(endings).items())[:8]
    return ", ".join(f"{count} {ending or 'without extension'}" for ending, count in most)
