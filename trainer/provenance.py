"""Record how a result was made: date, command, commit, versions, hardware."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "pillow", "apache-beam")
ROOT = Path(__file__).resolve().parents[1]  # of the checkout, if this is one
GIT_SECONDS = 10


def gather() -> dict[str, Any]:
    """Return `date`, `command`, `folder`, `commit`, `versions` and `hardware`, as JSON values; None where unknown.

    The folder is the working directory, to which relative paths in the command and its result refer.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command(sys.argv),
        "folder": _folder(),
        "commit": commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": hardware(),
    }


def command(argv: Sequence[str]) -> str:
    """Return the command line of a process with these `sys.argv`, as one would type it."""
    path = Path(argv[0])
    if path.suffix != ".py":
        return shlex.join([path.name, *argv[1:]])
    try:
        module = ".".join(path.resolve().relative_to(ROOT).with_suffix("").parts)
    except ValueError:  # a script of somebody else
        return shlex.join(["python", path.name, *argv[1:]])
    return shlex.join(["python", "-m", module.removesuffix(".__main__"), *argv[1:]])


def commit() -> str | None:
    """Return the commit of the checkout that the package is imported from, with `-dirty` if files differ from it.

    It is None if the package was installed: a `.git` in a parent folder would belong to another project.
    """
    if not (ROOT / ".git").exists():
        return None
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            describe, capture_output=True, text=True, timeout=GIT_SECONDS, stdin=subprocess.DEVNULL, check=True
        )
    except (OSError, subprocess.SubprocessError):  # Git is missing, or does not trust the owner of the folder
        return None
    return done.stdout.strip() or None


def hardware() -> dict[str, Any]:
    """Return the `processor`, the number of `cores` that this process may use, `memory_gb`, and the names of `gpus`."""
    return {"processor": _processor(), "cores": _cores(), "memory_gb": _memory_gb(), "gpus": _gpus()}


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in ("svhn-sequences", *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[str]:
    """Return the names of the GPUs; empty if TensorFlow is not imported, since then nothing uses them."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return []
    config = tensorflow.config
    details = [config.experimental.get_device_details(gpu) for gpu in config.list_physical_devices("GPU")]
    return [str(found.get("device_name", "GPU")) for found in details]
