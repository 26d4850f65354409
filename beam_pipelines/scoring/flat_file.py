"""Write one flat file with all predictions: `score --output out.csv`, `.jsonl` or `.parquet`.

The shards, the rejects and the summary are in a folder next to it. The file is made from the shards once they are
complete, and removed before they are replaced. A file with any other content belongs to the user.
"""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from pyarrow import parquet

from beam_pipelines.scoring import predictions
from beam_pipelines.sharding import listing, outputs
from beam_pipelines.sharding.counted_file import CountedFile
from beam_pipelines.sharding.whole_file import whole_file
from trainer.cli import Locked, UserError

PARTS = ".parts"  # replaces the file's ending in the name of the folder
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class FlatFile:
    """The file, in one of the formats of the shards, and the folder with the shards."""

    path: str
    folder: str
    file_format: str

    def check(self) -> None:
        """Check that the file does not exist, or was made from the shards.

        Raises:
          UserError: the file has any other content.
        """
        if self._exists() and not self._is_ours():
            raise UserError(
                f"--output {self.path}: this file was not written from {self.folder}: choose another --output, or move "
                "it away"
            )

    def remove(self) -> None:
        """Delete the file before its shards are replaced; `check` has confirmed that it is ours."""
        if self._exists():
            listing.delete(self.path)

    def complete(self) -> None:
        """Make the file, unless it exists or the shards are incomplete, as after one of several partitions.

        Raises:
          UserError: another file has appeared there since `check`, or the shards are damaged.
          Locked: another run has replaced the shards in the meantime.
        """
        if not self._is_done():
            return
        if self._exists():
            self.check()
        else:
            self._make()
        print(f"all rows: {self.path}")

    def _make(self) -> None:
        try:
            with whole_file(self.path) as file:
                self._merge(CountedFile(file))
        except FileNotFoundError as error:
            raise Locked(f"another run is replacing {self.folder}: wait for it, or choose another --output") from error
        except ValueError as error:
            raise UserError(f"{self.folder}: {error}; write it again with --overwrite") from error

    def _exists(self) -> bool:
        """Return whether anything exists at the path, even a dangling link."""
        return listing.exists(self.path) if listing.is_remote(self.path) else os.path.lexists(self.path)

    def _is_done(self) -> bool:
        return outputs.is_complete(self.folder, predictions.KIND)

    def _is_ours(self) -> bool:
        is_file = listing.is_remote(self.path) or stat.S_ISREG(os.lstat(self.path).st_mode)
        if not is_file or not self._is_done():
            return False
        with open(os.devnull, "wb") as nowhere:
            merged, found = CountedFile(nowhere), CountedFile(nowhere)
            try:
                self._merge(merged)
            except (OSError, BeamIOError, ValueError, KeyError):  # the shards have changed
                return False
            with FileSystems.open(self.path, compression_type="uncompressed") as file:
                while chunk := file.read(CHUNK):
                    found.write(chunk)
        return (merged.bytes, merged.crc32c) == (found.bytes, found.crc32c)

    def _merge(self, out: CountedFile) -> None:
        if self.file_format == "parquet":
            writer = predictions.Parquet(out)
            for content in self._shards():
                writer.append(parquet.read_table(io.BytesIO(content), schema=predictions.SCHEMA))
            writer.close()
            return
        for index, content in enumerate(self._shards()):
            header = content.index(b"\n") + 1 if self.file_format == "csv" and index else 0
            out.write(content[header:])

    def _shards(self) -> Iterator[bytes]:
        """Yield the content of each shard.

        Raises:
          ValueError: one does not match the summary.
        """
        name, summary = predictions.read_summary(self.folder)
        for shard in summary["shards"]:
            path = FileSystems.join(self.folder, shard["name"])
            with FileSystems.open(path, compression_type="uncompressed") as file:
                content = file.read()
            if len(content) != shard["bytes"] or f"{google_crc32c.value(content):08x}" != shard["crc32c"]:
                raise ValueError(f"{shard['name']} is not what {name} says")
            yield content


def of(output: str) -> FlatFile | None:
    """Return the flat file that an --output names; None if it names a folder."""
    stem, ending = os.path.splitext(output)
    file_format = ending.removeprefix(".").lower()
    if file_format not in predictions.WRITERS or os.path.isdir(output):
        return None
    return FlatFile(output, f"{stem}{PARTS}", file_format)
