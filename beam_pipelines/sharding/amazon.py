"""What Beam's file system for s3:// cannot do: upload an empty file, and fail at once if a bucket cannot be listed."""

from typing import Any, BinaryIO

SCHEME = "s3://"


def list_once(path: str) -> None:
    """List the bucket of a path, and raise what its client does; Beam would retry for minutes."""
    _client().list_objects_v2(Bucket=_split(path)[0], MaxKeys=1)


def upload(file: BinaryIO, path: str) -> None:
    """Upload an open file, which replaces any existing one atomically."""
    _client().upload_fileobj(file, *_split(path))


def _client() -> Any:
    import boto3  # of Beam's extra `aws`

    return boto3.Session().client("s3")


def _split(path: str) -> tuple[str, str]:
    """Return the bucket and the key of a path."""
    bucket, _, key = path.removeprefix(SCHEME).partition("/")
    return bucket, key
