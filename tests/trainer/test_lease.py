import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import lease
from trainer.cli import UserError


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path) -> None:
    """One that something was written to, and so stays."""
    (tmp_path / "config.json").touch()


def claim(folder: Path, **changed: object) -> None:
    """As another process leaves it."""
    taken = lease.Lease(str(folder))
    taken.release()
    path = folder / lease.FILE
    path.write_text(json.dumps({**taken.claim, "id": "other", "time": lease.time.time(), **changed}))


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_chief_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, pid=os.getppid())
    with pytest.raises(UserError, match=f"being trained in by process {os.getppid()}"):
        lease.Lease(str(tmp_path))


def test_one_on_another_host_is_taken_for_alive_while_it_renews(tmp_path: Path, dead: int) -> None:
    claim(tmp_path, pid=dead, host="elsewhere")
    with pytest.raises(UserError, match="on elsewhere"):
        lease.Lease(str(tmp_path))


def test_a_dead_or_silent_one_is_succeeded(tmp_path: Path, dead: int) -> None:
    claim(tmp_path, pid=dead)
    lease.Lease(str(tmp_path)).release()
    claim(tmp_path, host="elsewhere", time=lease.time.time() - lease.STALE_SECONDS - 1)
    lease.Lease(str(tmp_path)).release()


def test_a_container_that_is_started_again_succeeds_itself(tmp_path: Path) -> None:
    claim(tmp_path, pid=os.getpid())
    lease.Lease(str(tmp_path)).release()


def test_one_that_was_succeeded_must_not_write(tmp_path: Path) -> None:
    old = lease.Lease(str(tmp_path))
    old.check()
    (tmp_path / lease.FILE).unlink()
    new = lease.Lease(str(tmp_path))
    new.check()
    with pytest.raises(lease.Lost, match="has taken the work folder over"):
        old.check()
    old.release()
    new.check()
