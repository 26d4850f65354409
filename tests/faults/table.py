"""What every command owes its user in a bad situation, and the command lines that put them into one."""

from pathlib import Path

from tests.faults.snapshots import differences, snapshot
from tests.forking import HUNG, Commands, Ended

LINES = 3  # of an error at most; more is a dump


def check_ready(ended: Ended) -> None:
    assert ended.status == 0, f"{ended.status}\n{ended.out}\n{ended.err}"


def faults_of(ended: Ended, statuses: tuple[int, ...], lines: int = LINES) -> list[str]:
    """A line for each promise that was not kept."""
    found = []
    if ended.status == HUNG:
        found.append(f"hangs: still running after {ended.seconds:.0f} s")
    elif ended.status not in statuses:
        found.append(f"exit status {ended.status}, expected {' or '.join(map(str, statuses))}")
    if "Traceback" in ended.err or "Traceback" in ended.out:
        found.append("a traceback")
    if "\x1b" in ended.err or "\x1b" in ended.out:
        found.append("an escape character reaches the terminal")
    if ended.status != 0:
        said = [line for line in ended.err.splitlines() if line.strip()]
        log_lines = [line for line in said if line[:8].count(":") == 2]  # 12:34:56 of the log
        if len(said) - len(log_lines) > lines:
            found.append(f"{len(said) - len(log_lines)} lines of error")
        if not said:
            found.append("not a word on standard error")
    return found


def check(
    commands: Commands,
    module: str,
    *args: object,
    watched: tuple[Path, ...],
    statuses: tuple[int, ...] = (2,),
    says: str = "",
    lines: int = LINES,
    cwd: Path | None = None,
    timeout: float = 180,
    leaves: tuple[str, ...] = (),
    **how: object,
) -> Ended:
    """Runs a command in a bad situation; fails with everything that does not hold.

    Args:
      watched: folders that must be the same afterwards, but for names that contain one of `leaves`.
      statuses: how it may end.
      says: what the error must contain.
      lines: of the error at most.
    """
    before = snapshot(*watched)
    ended = commands(module, *args, cwd=cwd, timeout=timeout, **how)  # type: ignore[arg-type]
    faults = faults_of(ended, statuses, lines)
    changes = differences(before, snapshot(*watched))
    faults += [line for line in changes if not any(name in line for name in leaves)]
    if says and says not in ended.err + ended.out:
        faults.append(f"does not say {says!r}")
    command = " ".join(["python", "-m", module, *map(str, args)])
    tail = "\n".join(ended.err.splitlines()[-12:])
    assert not faults, "\n".join([command, *(f"  * {fault}" for fault in faults), f"--- standard error\n{tail}"])
    return ended
