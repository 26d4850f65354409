"""Parse the option `--partition I/N`: which shards one of several processes writes."""

import re
from dataclasses import dataclass

from beam_pipelines.sharding.shards import ShardSpec
from trainer.cli import UserError


@dataclass(frozen=True)
class Partition:
    """A partition: the shards `index`, `index + count`, ..."""

    index: int
    count: int

    def of(self, specs: list[ShardSpec]) -> list[ShardSpec]:
        return specs[self.index :: self.count]


def parse(text: str | None) -> Partition | None:
    """Parse `2/4`.

    Raises:
      UserError: it is not a partition.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise UserError(f"--partition {text}: write I/N with I from 0 to N-1, e.g. 0/4")
    return Partition(int(match[1]), int(match[2]))


def common(words: list[str]) -> list[str]:
    """Return a command line without --partition, so that it is the same for all partitions."""
    return re.sub(r"\0--(?:share|partition)[=\0][^\0]*", "", "\0" + "\0".join(words)).split("\0")[1:]
