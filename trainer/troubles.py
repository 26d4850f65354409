"""Describe errors of the machine or of an object store in one line; any other exception is a bug in the program."""

import contextlib
import errno
import re
import sys
from collections.abc import Iterator
from typing import Any

from trainer.exit_status import FAILED_STATUS, USER_ERROR_STATUS

_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is exceeded: free some space, or choose another folder",
    errno.EIO: "the disk or network drive is failing",
    errno.ESTALE: "the network drive lost the file: run the command again",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "the machine has too many open files: close some programs",
    errno.EFBIG: "the file system does not allow larger files: choose another one",
}
_REFUSED = {
    errno.EROFS: "choose a writable folder",  # permanent, until the user mounts it writable
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "expected a file, not a folder",
    errno.ELOOP: "its symbolic links form a loop",
}
_EXTRAS = {  # of setup.py, by the packages that only they install
    "apache_beam": "beam",
    "fastapi": "serve",
    "h5py": "beam",
    "jinja2": "report",
    "jsonpatch": "gcp",
    "keras": "cpu",
    "kubernetes": "k8s",
    "matplotlib": "report",
    "onnx": "onnx",
    "prometheus_client": "serve",
    "pyarrow": "beam",
    "requests": "beam",
    "rich": "k8s",
    "rstr": "beam",
    "scipy": "cpu",
    "shapely": "cpu",
    "tensorboard": "cpu",
    "tensorflow": "cpu",
    "tf2onnx": "onnx",
    "uvicorn": "serve",
    "yaml": "k8s",
}
# The exceptions of TensorFlow and of stores are found by module and name, so that no library is loaded for this.
_TENSORFLOW = {"ResourceExhaustedError": FAILED_STATUS, "UnauthenticatedError": USER_ERROR_STATUS}
_TENSORFLOW["AbortedError"] = FAILED_STATUS  # a bucket has failed ten times in a row
_TENSORFLOW |= dict.fromkeys(["PermissionDeniedError", "NotFoundError"], USER_ERROR_STATUS)
_SURROGATES = re.compile("[\ud800-\udfff]")  # bytes of a file name that are not UTF-8
_LONGEST = 300  # characters of another library's message


def describe(error: BaseException) -> tuple[str, int] | None:
    """Return a line and the exit status for an exception, or None if it is not one of these errors."""
    for one in _chain(error):
        if isinstance(one, ModuleNotFoundError) and (extra := _EXTRAS.get((one.name or "").partition(".")[0])):
            return f"{one.name} is not installed: pip install 'svhn-sequences[{extra}]'", USER_ERROR_STATUS
        if isinstance(one, UnicodeEncodeError) and _SURROGATES.search(one.object):
            return f"{one.object}: TensorFlow cannot use a name that is not valid UTF-8; rename it", USER_ERROR_STATUS
        if isinstance(one, OSError) and one.errno in (_ADVICE | _REFUSED):
            refused = one.errno in _REFUSED
            advice = (_REFUSED if refused else _ADVICE)[one.errno]
            place = f"{one.filename}: " if one.filename else ""
            return f"{place}{one.strerror}; {advice}", USER_ERROR_STATUS if refused else FAILED_STATUS
        if status := _TENSORFLOW.get(_name_in("tensorflow.python.framework.errors_impl", one) or ""):
            return _short(getattr(one, "message", one)), status
        if _is_of("google.api_core.exceptions", "GoogleAPICallError", one):
            return _of_store(one, getattr(one, "code", None))
        if _is_of("google.api_core.exceptions", "RetryError", one):
            return f"{_short(one)}; check the network, and run the command again", FAILED_STATUS
        if _is_of("botocore.exceptions", "ClientError", one):
            return _of_store(one, getattr(one, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode"))
        if _is_of("azure.core.exceptions", "HttpResponseError", one):
            return _of_store(one, getattr(one, "status_code", None))
        if _is_of("google.auth.exceptions", "GoogleAuthError", one):
            return f"{_short(one)}; check your credentials: gcloud auth application-default login", USER_ERROR_STATUS
    return None


@contextlib.contextmanager
def naming(path: str, *, temporary: str = "") -> Iterator[None]:
    """Name the path in errors of the operating system that name no file, e.g. when writing, or only a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno and (not error.filename or error.filename == temporary):
            error.filename = path
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those that caused it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        details: Any = getattr(one, "exception_details", None)  # from Beam's file systems, by path
        waiting += [value for value in (details or {}).values() if isinstance(value, BaseException)]
        if one.__cause__:
            waiting.append(one.__cause__)
        elif type(one) is RuntimeError and one.__context__:  # Beam wraps a worker's exceptions in it
            waiting.append(one.__context__)


def _of_store(error: BaseException, code: object) -> tuple[str, int]:
    """Describe, as `describe` does, the answer of an object store with an HTTP status."""
    status = USER_ERROR_STATUS if code in (400, 401, 403, 404) else FAILED_STATUS
    return f"{_short(error)}; check the bucket's name, its permissions and your credentials", status


def _is_of(module: str, name: str, error: BaseException) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(error, kind)


def _name_in(module: str, error: BaseException) -> str | None:
    return type(error).__name__ if type(error).__module__ == module else None


def _short(said: object) -> str:
    text = " ".join(str(said).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
