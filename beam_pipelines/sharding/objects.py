"""Copy objects out of buckets with clients that are kept, and their connections with them.

Beam creates a client for each file that it opens: with S3, this takes a hundred times as much CPU as reading a small
image.
"""

import shutil
import threading
from functools import lru_cache
from typing import Any, BinaryIO

from apache_beam.io.filesystems import FileSystems

CONNECTIONS = 64  # that are kept to each store; more than there are threads that read


def copy(path: str, to: BinaryIO) -> None:
    """Write the content of an object to a file.

    Raises:
      Exception: as the store's own client, after its own retries, e.g. if there is no such object.
    """
    scheme, _, name = path.partition("://")
    bucket, _, key = name.partition("/")
    if scheme == "s3":
        client, how = amazon()
        client.download_fileobj(bucket, key, to, Config=how)
    elif scheme == "gs":
        google(threading.get_ident()).bucket(bucket).blob(key).download_to_file(to, checksum="crc32c")
    else:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            shutil.copyfileobj(file, to, 1 << 20)


@lru_cache(maxsize=1)
def amazon() -> tuple[Any, Any]:
    """Return the client of this process, which threads may share, and how it copies: in the thread that asks."""
    import boto3  # of Beam's extra `aws`
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    client = boto3.Session().client("s3", config=Config(max_pool_connections=CONNECTIONS))
    return client, TransferConfig(use_threads=False)


@lru_cache(maxsize=CONNECTIONS)
def google(thread: int) -> Any:
    """Return the client of a thread, given its number, with the credentials that Beam found."""
    from apache_beam.io.gcp import gcsio

    return gcsio.GcsIO().client
