"""Files that are not images are counted by extension."""

from collections import Counter

from beam_pipelines.scoring import endings


def test_the_order_does_not_depend_on_which_was_listed_first() -> None:
    """Folders and ranges of a bucket are listed in any order."""
    texts = {endings.text(Counter(names)) for names in ([".b", "", ".a", ".a"], [".a", ".a", "", ".b"])}
    assert texts == {"2 .a, 1 without extension, 1 .b"}
