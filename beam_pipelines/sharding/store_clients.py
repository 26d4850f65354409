"""The clients of Amazon's and Google's stores; a client keeps its connections."""

import threading
from functools import lru_cache
from typing import Any

CONNECTIONS = 64  # that are kept to each store; more than there are threads that read


@lru_cache(maxsize=1)
def amazon() -> Any:
    """Return the client of this process, which threads may share; making one takes 0.15 s of CPU."""
    import boto3  # of Beam's extra `aws`
    from botocore.config import Config

    return boto3.Session().client("s3", config=Config(max_pool_connections=CONNECTIONS))


def google() -> Any:
    """Return the client of this thread, with the credentials that Beam found."""
    return _google(threading.get_ident())


@lru_cache(maxsize=CONNECTIONS)
def _google(thread: int) -> Any:
    from apache_beam.io.gcp import gcsio

    return gcsio.GcsIO().client


def forget() -> None:
    """Make new clients from now on, e.g. for another server."""
    amazon.cache_clear()
    _google.cache_clear()
