"""Give a process and its children their own network, which nobody else can reach (Linux)."""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # of unshare(2)
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of netdevice(7)
REQUEST = "16sh14x"  # struct ifreq: the name of the interface, its flags, and the rest of the union


def isolate_network() -> bool:
    """Move this process into a new network namespace whose only interface is loopback.

    An unprivileged user needs a user namespace for that, which not every system allows. Call it before any thread is
    started.

    Returns:
      Whether it succeeded; if not, nothing has changed.
    """
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is None:
        return False
    user, group = os.geteuid(), os.getegid()
    if unshare(CLONE_NEWNET) != 0:
        if unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _bring_up(b"lo")
    return True


def _bring_up(interface: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, GET_FLAGS, struct.pack(REQUEST, interface, 0))
        _, flags = struct.unpack(REQUEST, answer)
        fcntl.ioctl(control, SET_FLAGS, struct.pack(REQUEST, interface, flags | UP))
