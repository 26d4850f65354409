"""Files that appear complete or not at all, on every file system that Beam supports."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing
from trainer import troubles


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Open a file that appears under its name once complete, replacing any existing one."""
    temporary = f"{path}.tmp-{uuid.uuid4().hex}"
    try:
        with (
            troubles.naming(path, temporary=temporary),
            FileSystems.create(temporary, "application/octet-stream", "uncompressed") as file,
        ):
            yield file
        if "://" not in path:
            os.replace(temporary, path)
        else:
            # Google's store replaces atomically; some others do not replace at all.
            if not path.startswith("gs://") and FileSystems.exists(path):
                listing.delete(path)
            FileSystems.rename([temporary], [path])
    except BaseException:
        if FileSystems.exists(temporary):
            listing.delete(temporary)
        raise
