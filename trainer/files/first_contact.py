"""Limit the time of the first request to a store.

A store's client retries for minutes even what can never work, e.g. on a machine without a network. Only the first
request has this limit: once a store has answered, its client retries as usual.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trainer import cli
from trainer.cli import UserError
from trainer.exit_status import USER_ERROR_STATUS

SECONDS = 10.0  # for an answer, which normally takes about one
REMEMBERED = 60.0  # seconds for which a bucket that did not answer is not tried again, e.g. for the next image
_LONGEST = 200  # characters of a client's message

T = TypeVar("T")
_answered: set[str] = set()  # buckets
_silent: dict[str, tuple[float, str]] = {}  # buckets, each with the time and the reason


def answer(call: Callable[[], T]) -> T:
    """Make a call within the time limit; return its result, or raise its exception.

    Raises:
      TimeoutError: it takes more than `SECONDS`. It continues in a thread that ends with the process.
    """
    made: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            made.set_result(call())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=run, daemon=True, name="first contact").start()
    try:
        return made.result(SECONDS)
    except concurrent.futures.TimeoutError as error:
        raise TimeoutError(f"no answer within {SECONDS:.0f} seconds") from error


def unreachable(flag: str, path: str, reason: object, status: int = USER_ERROR_STATUS) -> UserError:
    """Return the error for a store that does not answer."""
    said = " ".join(str(reason).split())
    short = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
    advice = "check the network, the bucket's name and your credentials"
    return UserError(f"{flag} {path} cannot be reached ({short}): {advice}", status)


def check_bucket(flag: str, path: str, status: int = USER_ERROR_STATUS) -> None:
    """Check that the bucket of a `gs://` path answers TensorFlow; a bucket that has answered is not checked again.

    A refusal, or that the bucket does not exist, counts as an answer: the next request then fails with that error.

    Args:
      flag: the option that names the path, for the error.
      path: of a file or folder.
      status: the exit status if it does not answer.
    Raises:
      UserError: it does not answer, or the path is not in a bucket.
    """
    cli.local_or_gs(flag, path)
    bucket = path.removeprefix("gs://").partition("/")[0]
    if bucket in _answered:
        return
    since, reason = _silent.get(bucket, (0.0, ""))
    if not since or time.monotonic() - since > REMEMBERED:
        reason = _why_silent(flag, path)
    if reason:
        raise unreachable(flag, path, reason, status)


def _why_silent(flag: str, path: str) -> str:
    """Request the path, and remember the result; return why there was no answer, empty if there was one."""
    import tensorflow as tf

    bucket = path.removeprefix("gs://").partition("/")[0]
    try:
        answer(lambda: tf.io.gfile.exists(path))
    except (tf.errors.NotFoundError, tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError):
        pass
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"{flag} {path}: {error.message}; give gs://BUCKET/FOLDER") from error
    except (tf.errors.OpError, TimeoutError) as error:
        _silent[bucket] = time.monotonic(), str(error)
        return str(error)
    _answered.add(bucket)
    return ""
