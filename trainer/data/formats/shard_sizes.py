"""Compare the sizes of shards with the dataset's description before they are read.

Each record has its own checksums, so damage within a record is detected when it is read. But a shard that was truncated
between two records, or emptied, would look complete.
"""

from collections.abc import Callable

from trainer.cli import UserError
from trainer.data.formats.dataset_info import INFO_FILE, DatasetInfo, Shard


def check(folder: str, info: DatasetInfo, split: str, size_of: Callable[[str], int | None]) -> None:
    """Check the sizes of all shards of a split.

    Args:
      folder: of the dataset.
      info: its description.
      split: the split.
      size_of: returns the size in bytes of the shard of that name, None if it is missing.
    Raises:
      UserError: a size differs.
    """
    for shard in info.splits[split].shards:
        check_one(f"{folder}/{shard.name}", shard, size_of(shard.name))


def check_one(path: str, shard: Shard, size: int | None) -> None:
    """Check the size of one shard, None if it is missing.

    Raises:
      UserError: it differs.
    """
    if size != shard.bytes:
        found = "is missing" if size is None else f"has {size:,} bytes"
        raise UserError(
            f"{path} {found}, but {INFO_FILE} says {shard.bytes:,} bytes with {shard.records:,} records: copy "
            "the shard again from its source, or regenerate the dataset"
        )
