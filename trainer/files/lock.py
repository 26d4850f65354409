"""Let only one process at a time write to a folder. Its lock file names the owner; other processes are refused.

On a local disk the kernel knows whether the owner is alive, since the owner holds an advisory lock (flock(2)) on the
file. That does not depend on process IDs in other namespaces, on suspension or on clocks. Where such a lock is not
available (in an object store, on another host), the claim in the file decides, by its process or by its age. An owner
that was suspended and has lost its claim stops writing.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.cli import Locked
from trainer.files import claims, lock_file
from trainer.files.claims import Claim
from trainer.files.lock_file import Store

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
RETRY_SECONDS = 1.0  # after a renewal that failed
READS, PAUSE_SECONDS = 3, 0.05  # attempts to read a file that may be half written, and the pause between them


class Lost(Locked):
    """Another process has taken over the folder."""


@dataclass(frozen=True)
class Ticket:
    """A claim in the form that is sent to workers in other processes and on other machines."""

    path: str
    id: str
    store: Store | None

    def check(self) -> None:
        """Check that the folder still belongs to the run that issued this ticket; call it before writing.

        Raises:
          Lost: another process has taken over, or the lock file was removed.
        """
        claim = None
        for _ in range(READS):
            if (claim := lock_file.read(self.path, self.store)) is not None:
                break
            time.sleep(PAUSE_SECONDS)
        if claim is None or claim["id"] != self.id:
            raise Lost(
                f"another process has taken over {self.path}, or it was removed: nothing more is written; run the "
                "command again once the other process has ended"
            )


class Lock:
    """The claim of this process to a lock file, renewed in the background until `release`.

    Args:
      path: the lock file; if it is local, its folder is created.
      store: reads and writes `path` in an object store; not used for a local file.
    Raises:
      Locked: another live process holds it.
      UserError: it cannot be opened.
    """

    def __init__(self, path: str, store: Store | None) -> None:
        self.path = path
        self.claim = {**claims.of_this_process(), "id": uuid.uuid4().hex}
        self.ticket = Ticket(path, self.claim["id"], store)
        self._file = lock_file.at(path, store)
        other = self._file.take(self.claim)
        if other is not None:
            raise Locked(describe(path, other))
        self._left, self._ended = False, threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lock")
        self._thread.start()

    def check(self) -> None:
        """Check that the folder still belongs to this process; call it before writing.

        Raises:
          Lost: another process has taken over, or the lock file was removed.
        """
        self.ticket.check()

    def guard(self, write: Callable[..., None]) -> Callable[..., None]:
        """Return a function that checks the lock before it writes."""

        def check_and_write(*args: Any) -> None:
            self.check()
            write(*args)

        return check_and_write

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def leave(self) -> None:
        """Let `release` keep the file: workers with a ticket write until another process takes over the folder."""
        self._left = True

    def release(self) -> None:
        """End the claim, and remove the file unless another process has taken it."""
        self._ended.set()
        self._thread.join()
        if not self._left:
            self._file.release(self.claim)

    def _renew(self) -> None:
        wait, failed = RENEW_SECONDS, False
        while not self._ended.wait(wait):
            try:
                self._file.renew(self.claim)
                wait, failed = RENEW_SECONDS, False
            except Exception as error:  # each store raises its own exceptions, and none of them ends the claim
                if not failed:
                    log.warning("%s cannot be renewed (%s): retrying", self.path, error)
                wait, failed = RETRY_SECONDS, True


def owner(path: str, store: Store | None) -> Claim | None:
    """Return the claim of the live process that holds a lock file; remove a dead one's file and return None."""
    return lock_file.at(path, store).owner()


def describe(path: str, claim: Claim) -> str:
    """Return a line that says who holds a lock file, and what to do."""
    who = f"process {claim.get('pid', '?')} on {claim.get('host', 'this machine')}"
    return f"{os.path.dirname(path)} is in use by {who} ({path}): wait for it, stop it, or choose another folder"
