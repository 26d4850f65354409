"""One process per folder on local disks, with the kernel's locks."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer.cli import Locked
from trainer.files import claims, lock, lock_file
from trainer.files.lock import Lock, Lost


class Bucket:
    """An object store in memory."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def write(self, path: str, text: str) -> None:
        self.files[path] = text

    def remove(self, path: str) -> None:
        del self.files[path]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(lock_file, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(lock_file, "WATCH_SECONDS", 0.3)


def take(folder: Path) -> Lock:
    return Lock(str(folder / "lock"), Bucket())


OWNER = """
    import sys, time
    from trainer.files.lock import Lock
    with Lock(sys.argv[1], None):
        print("taken", flush=True)
        time.sleep(100)
"""


def owner(folder: Path, *before: str) -> subprocess.Popen:
    """Start a process that holds the lock."""
    command = [*before, sys.executable, "-c", textwrap.dedent(OWNER), str(folder / "lock")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "taken\n"
    return process


def test_a_second_owner_is_refused_and_nothing_stays_behind(tmp_path: Path) -> None:
    with take(tmp_path):
        with pytest.raises(Locked, match=f"in use by process {os.getpid()}"):
            take(tmp_path)
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())
    take(tmp_path).release()


def test_a_suspended_owner_is_never_robbed_and_a_killed_one_is_succeeded_at_once(tmp_path: Path) -> None:
    process = owner(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    path = tmp_path / "lock"
    # As if it had not renewed its claim for a day, or a clock had been set.
    aged = {**json.loads(path.read_text()), "time": time.time() - 86_400}
    with path.open("r+") as file:
        file.write(json.dumps(aged).ljust(lock_file.BLOCK))
    with pytest.raises(Locked, match=f"process {process.pid}"):
        take(tmp_path)
    process.kill()
    process.wait()
    take(tmp_path).release()


def isolated() -> list[str]:
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no process namespaces can be made here")
    return command


def test_an_owner_in_another_process_namespace_is_not_robbed(tmp_path: Path) -> None:
    """Its process number is small there; here it belongs to a kernel thread or to no process."""
    process = owner(tmp_path, *isolated())
    with pytest.raises(Locked):
        take(tmp_path)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while lock.owner(str(tmp_path / "lock"), Bucket()) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    take(tmp_path).release()


def test_in_a_process_namespace_of_its_own_a_killed_owner_is_succeeded_at_once(tmp_path: Path) -> None:
    """As by the Pod that replaces a killed one: in both, the owner and its threads have the same small numbers."""
    for _ in range(3):  # the lock file of the last one is left behind
        process = owner(tmp_path, *isolated())
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
        while Path(f"/proc/{child}").exists():
            time.sleep(0.05)
        assert (tmp_path / "lock").exists()


def test_a_claim_by_the_number_of_a_thread_of_ours_is_dead(tmp_path: Path) -> None:
    """As in a restarted Pod, where small process numbers recur."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    claim = {**claims.of_this_process(), "id": "old", "time": time.time(), "pid": thread.native_id}
    for old in (claim, {name: claim[name] for name in ("host", "pid", "id", "time")}):
        (tmp_path / "lock").write_text(json.dumps(old))
        take(tmp_path).release()
    over.set()


def test_a_claim_of_another_host_counts_while_it_is_young(tmp_path: Path) -> None:
    claim = {**claims.of_this_process(), "id": "x", "host": "elsewhere", "time": time.time()}
    (tmp_path / "lock").write_text(json.dumps(claim))
    with pytest.raises(Locked, match="on elsewhere"):
        take(tmp_path)
    (tmp_path / "lock").write_text(json.dumps({**claim, "time": time.time() - claims.STALE_SECONDS - 1}))
    take(tmp_path).release()


@pytest.mark.parametrize("wrong", [-3600, 3600])
@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"boot": "of another machine with the same host name"}])
def test_one_elsewhere_that_renews_its_claim_lives_whatever_its_clock_says(
    tmp_path: Path, wrong: float, changed: dict[str, str]
) -> None:
    path, over = tmp_path / "lock", threading.Event()
    claim = {**claims.of_this_process(), "id": "x", **changed, "pid": 2**22 - 1}

    def renew() -> None:
        while not over.wait(0.05):
            path.with_name("new").write_text(json.dumps({**claim, "time": time.time() + wrong}))
            path.with_name("new").replace(path)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        while not path.exists():
            time.sleep(0.01)
        with pytest.raises(Locked):
            take(tmp_path)
    finally:
        over.set()
        thread.join()
    take(tmp_path).release()


def test_who_was_robbed_from_elsewhere_neither_writes_nor_claims_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the kernel's lock has no effect, e.g. on some network file systems, the claim is overwritten."""
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    robbed = take(tmp_path)
    robbed.check()
    thief = json.dumps({**robbed.claim, "id": "thief", "host": "elsewhere", "time": time.time()})
    with (tmp_path / "lock").open("r+") as file:
        file.write(thief.ljust(lock_file.BLOCK))
    with pytest.raises(Lost):
        robbed.check()
    with pytest.raises(Lost):
        pickle.loads(pickle.dumps(robbed.ticket)).check()
    time.sleep(0.2)
    robbed.release()
    assert json.loads((tmp_path / "lock").read_text())["id"] == "thief"


def test_a_ticket_is_good_while_the_lock_is_held_and_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.001)
    with take(tmp_path) as held:
        for _ in range(300):
            held.ticket.check()
    with pytest.raises(Lost):
        held.ticket.check()


def test_a_claim_on_a_local_disk_is_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who cannot see the kernel's lock, e.g. on another host, judges a claim by its age."""
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.01)
    with take(tmp_path):
        first = json.loads((tmp_path / "lock").read_text())["time"]
        deadline = time.monotonic() + 60
        while json.loads((tmp_path / "lock").read_text())["time"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_lock_that_is_just_being_taken_is_not_taken_for_a_dead_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that looks at the lock at that moment reads the claim, and does not remove the file."""
    begun, write = threading.Event(), lock_file._Local._write

    def slow(self: lock_file._Local, claim: claims.Claim) -> None:
        begun.set()
        time.sleep(0.05)
        write(self, claim)

    monkeypatch.setattr(lock_file._Local, "_write", slow)
    monkeypatch.setattr(lock_file, "PROBE_SECONDS", 2.0)
    taken: list[Lock] = []
    thread = threading.Thread(target=lambda: taken.append(take(tmp_path)))
    thread.start()
    assert begun.wait(10)
    found = lock.owner(str(tmp_path / "lock"), Bucket())
    thread.join()
    assert found is None or found["id"] == taken[0].claim["id"]
    taken[0].check()
    taken[0].release()


def test_where_the_kernel_has_no_locks_one_of_many_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lock_file, "_flock", lambda *_: None)
    monkeypatch.setattr(lock_file, "SETTLE_SECONDS", 0.3)
    ended: list[Lock | Locked] = []

    def claim() -> None:
        try:
            ended.append(take(tmp_path))
        except Locked as refused:
            ended.append(refused)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (held,) = [one for one in ended if isinstance(one, Lock)]
    held.check()
    held.release()
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_lock_is_made(tmp_path: Path) -> None:
    Lock(str(tmp_path / "new" / "lock"), Bucket()).release()


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"id": 1}'])
def test_a_torn_claim_is_nobodys(tmp_path: Path, torn: str) -> None:
    (tmp_path / "lock").write_text(torn)
    take(tmp_path).release()


def test_who_has_lost_the_lock_must_not_write(tmp_path: Path) -> None:
    old = take(tmp_path)
    written: list[int] = []
    write = old.guard(written.append)
    write(1)
    (tmp_path / "lock").unlink()
    new = take(tmp_path)
    with pytest.raises(Lost, match="nothing more is written"):
        write(2)
    old.release()
    new.check()
    new.release()
    assert written == [1]
