"""One chief a work folder: a lease file names it, so that a second one is refused and an old one stops writing."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid

import tensorflow as tf

from trainer.cli import UserError

FILE = "chief.json"
RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0


class Lost(RuntimeError):
    """Another process has taken the work folder over."""


class Lease:
    """Takes a work folder, and renews the claim in the background.

    A claim ends when its process is gone, where that can be seen from this host, else after `STALE_SECONDS` without
    renewal. A Pod that is started again has the name of the one before, and so takes over at once.

    Raises:
      UserError: a living process has it.
    """

    def __init__(self, workdir: str) -> None:
        self.path = f"{workdir}/{FILE}"
        self.claim = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
        other = self._read()
        if other and _is_alive(other):
            raise UserError(
                f"{workdir} is being trained in by process {other['pid']} on {other['host']}, which was alive "
                f"{time.time() - other['time']:.0f} s ago: stop it, or choose another --workdir"
            )
        tf.io.gfile.makedirs(workdir)
        self._write()
        self._ended = threading.Event()
        threading.Thread(target=self._renew, daemon=True, name="lease").start()

    def check(self) -> None:
        """To be called before writing.

        Raises:
          Lost: another process has taken over meanwhile.
        """
        other = self._read()
        if other and other["id"] != self.claim["id"]:
            raise Lost(f"process {other['pid']} on {other['host']} has taken the work folder over: nothing was written")

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Ends the claim; a work folder in which nothing was written goes with it."""
        self._ended.set()
        if (other := self._read()) and other["id"] == self.claim["id"]:
            tf.io.gfile.remove(self.path)
            folder = self.path.removesuffix(f"/{FILE}")
            with contextlib.suppress(tf.errors.NotFoundError):  # in an object store it is gone with its last file
                if not tf.io.gfile.listdir(folder):
                    tf.io.gfile.rmtree(folder)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            other = self._read()
            if other and other["id"] == self.claim["id"]:
                self._write()

    def _read(self) -> dict | None:
        try:
            with tf.io.gfile.GFile(self.path, "r") as file:
                return json.loads(file.read())
        except (tf.errors.NotFoundError, json.JSONDecodeError):
            return None

    def _write(self) -> None:
        temporary = f"{self.path}.{self.claim['id']}"
        with tf.io.gfile.GFile(temporary, "w") as file:
            file.write(json.dumps({**self.claim, "time": time.time()}))
        tf.io.gfile.rename(temporary, self.path, overwrite=True)


def _is_alive(claim: dict) -> bool:
    if time.time() - claim["time"] > STALE_SECONDS:
        return False
    if claim["host"] != socket.gethostname():
        return True
    if claim["pid"] == os.getpid():  # a container started again: the same name, the same process number
        return False
    try:
        os.kill(claim["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
