"""Send the first request to a store, with a limit of `first_contact.SECONDS`: Beam's clients would try for minutes."""

from itertools import islice
from typing import Any

from beam_pipelines.sharding import listing
from trainer.files import first_contact


def send(scheme: str, path: str) -> None:
    """List a path in a store.

    Raises:
      ConnectionError, TimeoutError: the store does not answer. Any other exception is an answer of the store, or is
        about credentials.
    """
    if scheme == "gs":
        _ask_google(path)
    elif scheme == "s3":
        first_contact.answer(lambda: _ask_amazon(path))
    else:
        first_contact.answer(lambda: listing.any_below(path))


def _ask_google(path: str) -> None:
    """List a path without credentials and, if they are needed, with them; Beam would search for them five times."""
    import google.auth
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    try:
        try:
            first_contact.answer(lambda: _list_google(storage.Client.create_anonymous_client(), path))
        except (exceptions.Unauthorized, exceptions.Forbidden, GoogleAuthError):  # the last one for Unauthorized, too
            credentials, project = google.auth.default()  # within 12 seconds, where a metadata server does not answer
            first_contact.answer(lambda: _list_google(storage.Client(project, credentials), path))
    except (exceptions.ClientError, GoogleAuthError):
        raise
    except Exception as error:
        raise ConnectionError(_root(error)) from error


def _list_google(client: Any, path: str) -> None:
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, _, prefix = path.removeprefix("gs://").partition("/")
    limit = first_contact.SECONDS
    how = {"timeout": limit / 3, "retry": DEFAULT_RETRY.with_timeout(limit * 2 / 3)}
    list(islice(client.list_blobs(bucket, prefix=prefix, max_results=1, **how), 1))


def _ask_amazon(path: str) -> None:
    import boto3
    from botocore import exceptions
    from botocore.config import Config

    limit = first_contact.SECONDS / 3
    config = Config(connect_timeout=limit, read_timeout=limit, retries={"total_max_attempts": 2})
    client = boto3.Session().client("s3", config=config)
    try:
        client.list_objects_v2(Bucket=path.removeprefix("s3://").partition("/")[0], MaxKeys=1)
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise ConnectionError(_root(error)) from error


def _root(error: BaseException) -> BaseException:
    """Return the exception that caused all others, whose message is the shortest."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error
