"""What is in a folder, to the byte: commands that are refused must leave it as it was."""

import os
import stat
import zlib
from pathlib import Path

Entry = tuple[str, int, int, int]  # kind, modification time, size, checksum


def snapshot(*tops: Path) -> dict[str, Entry]:
    """Every name below some folders: its kind, its modification time, and the bytes or the target of it."""
    found: dict[str, Entry] = {}
    for top in tops:
        for folder, folders, names in os.walk(os.fsencode(top)):
            for name in (*folders, *names):
                path = os.path.join(folder, name)
                found[os.fsdecode(path)] = _entry(path)
    return found


def _entry(path: bytes) -> Entry:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "link", status.st_mtime_ns, 0, zlib.crc32(os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return "folder", 0, 0, 0  # its time changes with the names in it, which are compared anyway
    if not stat.S_ISREG(status.st_mode):
        return "special", 0, 0, 0
    with open(path, "rb") as file:
        return "file", status.st_mtime_ns, status.st_size, zlib.crc32(file.read())


def differences(before: dict[str, Entry], after: dict[str, Entry]) -> list[str]:
    """A line for each name that went, changed or came."""
    gone = [f"removed: {name}" for name in before.keys() - after.keys()]
    changed = [f"changed: {name}" for name in before.keys() & after.keys() if before[name] != after[name]]
    new = [f"left behind: {name}" for name in after.keys() - before.keys()]
    return sorted(gone + changed + new)
