"""Write and judge the claim in a lock file: which process wrote it, and whether that process is alive."""

import contextlib
import json
import os
import re
import socket
import time
from typing import Any

STALE_SECONDS = 60.0  # without renewal, after which a process that cannot be inspected is presumed dead

Claim = dict[str, Any]
_FIELDS: dict[str, Any] = {"id": str, "host": str, "pid": int, "time": (int, float)}
_BEGINNING = re.compile(rb'\{\s*("(id|host|boot|pid|pid_namespace|started|time)"|"?[a-z_]*$)')
_NOTHING = (b"", b"{}", b"[]", b"null")


def parse(data: bytes) -> Claim | None:
    """Return the claim in a file; None if it is incomplete or missing, since its writer died while writing."""
    with contextlib.suppress(ValueError):
        claim = json.loads(data.rstrip(b"\0 ") or b"null")
        if isinstance(claim, dict) and _FIELDS.keys() <= claim.keys():
            return claim if all(isinstance(claim[name], kind) for name, kind in _FIELDS.items()) else None
    return None


def is_strange(data: bytes) -> bool:
    """Return whether a file is neither a claim, nor an incomplete claim whose writer died, nor empty."""
    text = data.strip(b"\0 \n")
    return text not in _NOTHING and not _BEGINNING.match(text)


def of_this_process() -> Claim:
    """Return the fields that identify this process."""
    return {
        "host": socket.gethostname(),
        "boot": _content("/proc/sys/kernel/random/boot_id"),
        "pid": os.getpid(),
        "pid_namespace": _pid_namespace(),
        "started": _started(os.getpid()),
    }


def lives(claim: Claim, held: bool | None) -> bool | None:
    """Return whether the process of a claim is alive; None if that cannot be determined from here.

    Args:
      claim: the content of the file.
      held: True if the kernel's lock could be taken, False if not, None if the file system has no such locks.
    """
    here = of_this_process()
    # A new Pod may have the host name of one that still runs on another machine, whose locks may be invisible here.
    if claim["host"] != here["host"] or claim.get("boot", here["boot"]) != here["boot"]:
        return None
    if "started" not in claim:  # written by version 0.1.0, which took no kernel lock
        return None if claim["pid"] != here["pid"] and _exists(claim["pid"]) else False
    if held:
        return False
    if claim["pid_namespace"] == here["pid_namespace"] and claim["started"] is not None:
        started = _started(claim["pid"])
        return None if started is None and _is_hidden(claim["pid"]) else started == claim["started"]
    return None


def is_young(claim: Claim) -> bool:
    """Return whether a claim was renewed recently, assuming that the clocks of its host and of this one agree."""
    return abs(time.time() - claim["time"]) <= STALE_SECONDS


def _content(path: str) -> str | None:
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        return file.read().strip()
    return None


def _pid_namespace() -> str | None:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return None


def _started(pid: int) -> str | None:
    """Return when a process started, in kernel ticks; None if the process or /proc does not exist."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/status", "rb") as file:
            leader = next(line.split()[1] for line in file if line.startswith(b"Tgid:"))
        # /proc accepts thread IDs, too; and a zombie counts as dead.
        if int(leader) == pid and fields[0] not in (b"Z", b"X"):
            return fields[19].decode()
    return None


def _exists(pid: int) -> bool:
    if os.path.isdir("/proc/self"):
        return _started(pid) is not None or _is_hidden(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_hidden(pid: int) -> bool:
    """Return whether a process of another user exists, which /proc may hide (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False
