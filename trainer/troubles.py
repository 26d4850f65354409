"""What the machine or an object store refuses, in one line; all else that is raised is a fault of the program."""

import contextlib
import errno
import sys
from collections.abc import Iterator
from typing import Any

FAILED_STATUS = 42  # another try may come right, as when there is room again
REFUSED_STATUS = 2  # no retry can help

_ADVICE = {
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "the quota is used up: make room, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EIO: "the disk or the network drive fails",
    errno.ESTALE: "the network drive has lost it: run again",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "the machine has too many open files",
    errno.EFBIG: "the file system holds no larger files: choose another place",
}
_REFUSED = {
    errno.EACCES: "look at its permissions",
    errno.EPERM: "look at its permissions",
    errno.ENAMETOOLONG: "choose a shorter one",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links go round in a circle",
}
# Of TensorFlow's and Google's exceptions, by module and name: neither library is loaded for this.
_TENSORFLOW = {"ResourceExhaustedError": FAILED_STATUS, "UnauthenticatedError": REFUSED_STATUS}
_TENSORFLOW |= dict.fromkeys(["PermissionDeniedError", "NotFoundError"], REFUSED_STATUS)
_LONGEST = 300  # characters of what others say


def describe(error: BaseException) -> tuple[str, int] | None:
    """Return a line and the exit status for an exception, or None where it is none of these."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in (_ADVICE | _REFUSED):
            refused = one.errno in _REFUSED
            advice = (_REFUSED if refused else _ADVICE)[one.errno]
            place = f"{one.filename}: " if one.filename else ""
            return f"{place}{one.strerror}; {advice}", REFUSED_STATUS if refused else FAILED_STATUS
        if status := _TENSORFLOW.get(_name_in("tensorflow.python.framework.errors_impl", one) or ""):
            return _short(getattr(one, "message", one)), status
        if _is_of("google.api_core.exceptions", "GoogleAPICallError", one):
            code = getattr(one, "code", None)
            status = REFUSED_STATUS if code in (400, 401, 403, 404) else FAILED_STATUS
            return f"{_short(one)}; look at the bucket's name, its permissions and your credentials", status
        if _is_of("google.auth.exceptions", "GoogleAuthError", one):
            return f"{_short(one)}; look at your credentials: gcloud auth application-default login", REFUSED_STATUS
    return None


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Name the path in errors of the operating system that name none, as those of writing."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = path
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that led to it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        details: Any = getattr(one, "exception_details", None)  # of Beam's file systems, by path
        waiting += [value for value in (details or {}).values() if isinstance(value, BaseException)]
        if one.__cause__:
            waiting.append(one.__cause__)
        elif type(one) is RuntimeError and one.__context__:  # in which Beam wraps what a worker raises
            waiting.append(one.__context__)


def _is_of(module: str, name: str, error: BaseException) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _name_in(module: str, error: BaseException) -> str | None:
    return type(error).__name__ if type(error).__module__ == module else None


def _short(said: object) -> str:
    text = " ".join(str(said).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
