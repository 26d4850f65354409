"""Take and inspect lock files, local or in an object store."""

import errno
import functools
import json
import logging
import os
import time
from collections.abc import Callable
from typing import Protocol

from trainer import troubles
from trainer.cli import UserError
from trainer.files import claims
from trainer.files.claims import Claim
from trainer.files.file_descriptor import READ_WRITE, read_at, write_at

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

WATCH_SECONDS = 15.0  # within which a live owner on another host renews its claim, even if its clock differs
SETTLE_SECONDS = 1.0  # in which two processes that claim a file at once notice each other, without kernel locks
PROBE_SECONDS = 0.5  # the longest time that another process takes to inspect a lock
POLL_SECONDS = 0.05
# Bytes of a file with a claim. On a local disk they are reserved, so that it can be renewed even when the disk is full;
# in an object store, the file never shrinks under a reader that has asked for its size.
BLOCK = 1024


class Store(Protocol):
    """The files of an object store; must be picklable."""

    def read(self, path: str) -> str | None:
        """Return the content of a file, None if it does not exist."""

    def write(self, path: str, text: str) -> None:
        """Write a file as a whole."""

    def remove(self, path: str) -> None:
        """Remove a file."""


class LockFile(Protocol):
    """A lock file that can be taken."""

    def take(self, claim: Claim) -> Claim | None:
        """Take the file and return None; if another process holds it, return that process's claim instead."""

    def owner(self) -> Claim | None:
        """Return the claim of a live owner; remove the file of a dead one and return None."""

    def renew(self, claim: Claim) -> None:
        """Write the time into the file, unless another process has taken it."""

    def release(self, claim: Claim) -> None:
        """Remove the file, unless another process has taken it."""


def at(path: str, store: Store | None) -> LockFile:
    """Return the lock file at a path, local or in an object store."""
    if "://" not in path:
        return _Local(path)
    if store is None:
        raise ValueError(f"{path} is in an object store, but no `store` was given to access it")
    return _Remote(path, store)


def read(path: str, store: Store | None) -> Claim | None:
    """Return the claim in the lock file at a path; None if the file does not exist or holds no claim."""
    if "://" in path:
        text = store.read(path) if store else None
        return None if text is None else claims.parse(text.encode())
    try:
        with open(path, "rb") as file:
            return claims.parse(file.read(BLOCK))
    except FileNotFoundError:
        return None


def _is_alive(claim: Claim, held: bool | None, read: Callable[[], Claim | None]) -> bool:
    """Return whether the owner of a claim is presumably alive.

    An owner on another host is alive while its claim is young. If the claim looks old, the clocks may disagree, so
    watch for a while: an owner that renews its claim is alive, too.
    """
    known = claims.lives(claim, held)
    if known is not None or claims.is_young(claim):
        return known is not False
    log.warning("checking for %.0f s whether process %s on %s is alive", WATCH_SECONDS, claim["pid"], claim["host"])
    until = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < until:
        time.sleep(POLL_SECONDS if WATCH_SECONDS < 1 else 1.0)
        now = read()
        if now is None or (now["id"], now["time"]) != (claim["id"], claim["time"]):
            return now is not None
    return False


class _Local:
    """A lock file on a local disk or a mounted volume."""

    def __init__(self, path: str) -> None:
        self.path, self.fd = path, -1
        self._read = functools.partial(read, path, None)

    def take(self, claim: Claim) -> Claim | None:
        while True:
            self._open(os.O_CREAT)
            held = _flock(self.fd, PROBE_SECONDS)
            content = read_at(self.fd, BLOCK + 1, 0)
            if len(content) > BLOCK or claims.is_strange(content):
                os.close(self.fd)
                raise _strange(self.path)
            other = claims.parse(content)
            if held is False or (other is not None and _is_alive(other, held, self._read)):
                os.close(self.fd)
                return other or {}
            if not self._is_linked():  # the former owner has released and removed the file after it was opened here
                os.close(self.fd)
                continue
            try:
                with troubles.naming(self.path):
                    self._write(claim)
            except OSError:  # a full disk
                self._discard()
                raise
            if held is None:
                time.sleep(SETTLE_SECONDS)
            if self.is_ours(claim):
                return None
            os.close(self.fd)  # another process has overwritten this claim, or removed the file while it was empty

    def owner(self) -> Claim | None:
        try:
            self._open(0)
        except FileNotFoundError:
            return None
        held = _flock(self.fd)
        content = read_at(self.fd, BLOCK + 1, 0)
        if len(content) > BLOCK or claims.is_strange(content):  # somebody else's file, which stays
            os.close(self.fd)
            return None
        other = claims.parse(content)
        if held is False and (other is None or claims.lives(other, None) is False):
            # Another process is taking the file right now, or inspecting it.
            held = _flock(self.fd, PROBE_SECONDS)
            other = claims.parse(read_at(self.fd, BLOCK, 0))
        if held is False or (other is not None and _is_alive(other, held, self._read)):
            os.close(self.fd)
            return other or {}
        self._discard()
        return None

    def is_ours(self, claim: Claim) -> bool:
        other = self._read()
        return other is not None and other["id"] == claim["id"] and self._is_linked()

    def renew(self, claim: Claim) -> None:
        if self.is_ours(claim):
            self._write(claim)

    def release(self, claim: Claim) -> None:
        self._close(remove=self.is_ours(claim))

    def _open(self, flags: int) -> None:
        while True:
            try:
                self.fd = os.open(self.path, READ_WRITE | flags | getattr(os, "O_NOFOLLOW", 0), 0o644)
                return
            except FileNotFoundError:
                if not flags:
                    raise
                os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise UserError(
                        f"{self.path} is a link, which is not followed: remove it, or choose another folder"
                    ) from error
                if error.errno not in (errno.EACCES, errno.EPERM):
                    raise
                raise UserError(
                    f"{self.path} cannot be opened: {error.strerror}; it may belong to another user: choose another "
                    "folder, or remove the file once that user's process has ended"
                ) from error

    def _write(self, claim: Claim) -> None:
        write_at(self.fd, _renewed(claim).encode(), 0)

    def _discard(self) -> None:
        self._close(remove=self._is_linked())

    def _close(self, *, remove: bool) -> None:
        if fcntl is None:  # Windows removes no open file
            os.close(self.fd)
        if remove:
            os.unlink(self.path)
        if fcntl is not None:  # the file is removed while it is locked
            os.close(self.fd)

    def _is_linked(self) -> bool:
        """Return whether the open file is still the one at the path."""
        try:
            on_disk, ours = os.stat(self.path), os.fstat(self.fd)
        except FileNotFoundError:
            return False
        return (on_disk.st_dev, on_disk.st_ino) == (ours.st_dev, ours.st_ino)


class _Remote:
    """A lock file in an object store, which has no locks: the last writer of a file wins."""

    def __init__(self, path: str, store: Store) -> None:
        self.path, self.store = path, store
        self._read = functools.partial(read, path, store)

    def take(self, claim: Claim) -> Claim | None:
        while (other := self.owner()) is None:
            if claims.is_strange((self.store.read(self.path) or "").encode()):
                raise _strange(self.path)
            self._write(claim)
            time.sleep(SETTLE_SECONDS)
            if self.is_ours(claim):
                return None
        return other

    def owner(self) -> Claim | None:
        other = self._read()
        if other is not None and not _is_alive(other, None, self._read):
            self.store.remove(self.path)
            return None
        return other

    def is_ours(self, claim: Claim) -> bool:
        other = self._read()
        return other is not None and other["id"] == claim["id"]

    def renew(self, claim: Claim) -> None:
        if self.is_ours(claim):
            self._write(claim)

    def release(self, claim: Claim) -> None:
        if self.is_ours(claim):
            self.store.remove(self.path)

    def _write(self, claim: Claim) -> None:
        self.store.write(self.path, _renewed(claim))


def _renewed(claim: Claim) -> str:
    """Return the content of a file with this claim, renewed now."""
    return json.dumps({**claim, "time": time.time()}).ljust(BLOCK)


def _strange(path: str) -> UserError:
    return UserError(f"{path} is not a lock file of this program: move it away, or choose another folder")


def _flock(fd: int, seconds: float = 0.0) -> bool | None:
    """Take the kernel's lock on an open file; return whether that succeeded, None if there are no such locks.

    Retry for some seconds, since another process may only be checking whether the owner is alive.
    """
    if fcntl is None:
        return None
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_SECONDS)
        except OSError:  # a file system without them
            return None
