"""Run a module as on Windows: `python -m tests.without_posix MODULE ARGUMENT...`.

To this project's own modules, what only POSIX systems have is missing, and `sys.platform` is `win32`. Libraries, paths,
file locks and child processes are those of the machine, so this finds what would be missing on Windows, and no more.
"""

import builtins
import contextlib
import ctypes
import errno
import fcntl
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = ("trainer", "beam_pipelines", "k8s", "__main__")
MODULES = ("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
CHANGES = ("remove", "rename", "replace", "unlink")
# fmt: off
OF_OS = (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "WNOHANG", "chown", "fchmod",
    "fchown", "fork", "forkpty", "geteuid", "getgid", "getegid", "getgroups", "getpgid", "getpgrp", "getpriority",
    "getsid", "getuid", "killpg", "mkfifo", "mknod", "nice", "openpty", "posix_fadvise", "posix_fallocate", "pread",
    "pwrite", "register_at_fork", "set_blocking", "sched_getaffinity", "sched_setaffinity", "setpgid", "setsid",
    "statvfs", "sync", "sysconf", "uname", "wait", "waitid",
)
OF_SIGNAL = (
    "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP",
    "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer",
    "sigpending", "sigtimedwait", "sigwait",
)
# fmt: on


class Partial(ModuleType):
    """A module without some of its names, and with other values of some."""

    def __init__(self, whole: ModuleType, missing: tuple[str, ...] = (), **other: Any) -> None:
        super().__init__(whole.__name__)
        self.__dict__.update(_whole=whole, _missing=missing, **other)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_missing"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        return getattr(self.__dict__["_whole"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_whole"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_whole"], name)


def _library(name: str | None, *arguments: Any, **options: Any) -> ctypes.CDLL:
    if name is None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")
    return ctypes.CDLL(name, *arguments, **options)


def _wake_up(descriptor: int, **options: Any) -> int:
    if descriptor >= 0:
        os.set_blocking(descriptor, False)  # which Windows does not need
    return signal.set_wakeup_fd(descriptor, **options)


def _lock_bytes(descriptor: int, mode: int, count: int) -> None:
    fcntl.flock(descriptor, mode)


def _closed_files_only(change: Callable[..., None]) -> Callable[..., None]:
    """Refuse to remove, rename or replace a file that this process has open, as Windows does."""

    def checked(*paths: Any, **options: Any) -> None:
        targets = {os.path.realpath(path) for path in paths if isinstance(path, str | os.PathLike)}
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link) in targets:
                    raise PermissionError(errno.EACCES, "the file is open", *paths)
        change(*paths, **options)

    return checked


PARTIAL = {
    "os": Partial(os, OF_OS, **{name: _closed_files_only(getattr(os, name)) for name in CHANGES}),
    "msvcrt": Partial(
        ModuleType("msvcrt"), locking=_lock_bytes, LK_NBLCK=fcntl.LOCK_EX | fcntl.LOCK_NB, LK_UNLCK=fcntl.LOCK_UN
    ),
    "signal": Partial(signal, OF_SIGNAL, set_wakeup_fd=_wake_up),
    "sys": Partial(sys, platform="win32"),
    "ctypes": Partial(ctypes, CDLL=_library),
}


def main() -> None:
    whole = builtins.__import__

    def as_on_windows(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level == 0 and globals and str(globals.get("__name__")).partition(".")[0] in OURS:
            if name in MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in PARTIAL:
                return PARTIAL[name]
        return whole(name, globals, locals, fromlist, level)

    builtins.__import__ = as_on_windows
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
