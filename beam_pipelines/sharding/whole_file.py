"""Write files that appear complete or not at all, on every file system that Beam supports."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

from beam_pipelines.sharding import listing, store_clients
from trainer import troubles

_AMAZON = "s3://"


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Open a file that appears under its name once it is complete, replacing any existing one."""
    writing = _uploaded if path.startswith(_AMAZON) else _renamed
    with writing(path) as file:
        yield file


@contextmanager
def _uploaded(path: str) -> Iterator[BinaryIO]:
    """Write to a local file and upload it as a whole, which S3 does atomically; Beam cannot upload an empty file."""
    with troubles.naming(path), tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        bucket, _, key = path.removeprefix(_AMAZON).partition("/")
        store_clients.amazon().upload_fileobj(file, bucket, key)


@contextmanager
def _renamed(path: str) -> Iterator[BinaryIO]:
    """Write under a temporary name in the same folder, and rename the file."""
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
            if not path.startswith("gs://") and listing.exists(path):
                listing.delete(path)
            FileSystems.rename([temporary], [path])
    except BaseException:
        if listing.exists(temporary):
            listing.delete(temporary)
        raise
