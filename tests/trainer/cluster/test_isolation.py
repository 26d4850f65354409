import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = """
import ctypes, encodings.idna, os, socket, sys
from pathlib import Path
from trainer.cluster.isolation import isolate_network
if os.geteuid() != int(sys.argv[1]):
    os.setuid(int(sys.argv[1]))
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, as after an exec: its files in /proc are its own
before = os.readlink("/proc/self/ns/net")
if not isolate_network():
    assert os.readlink("/proc/self/ns/net") == before
    raise SystemExit(77)
assert os.readlink("/proc/self/ns/net") != before
assert [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]] == ["lo"]
with socket.create_server(("", 0)) as server, socket.create_connection(("127.0.0.1", server.getsockname()[1])):
    print(os.geteuid())
Path("written").write_text("mine")
"""
NOBODY = 65534


@pytest.mark.parametrize("user", ["this user", "an unprivileged user"])
def test_a_process_alone_in_its_network_reaches_itself_and_writes_as_its_user(user: str, tmp_path: Path) -> None:
    asked = os.geteuid()
    if user == "an unprivileged user":
        if asked != 0:
            pytest.skip("only root can become another user, and this user is unprivileged already")
        asked = NOBODY
        os.chown(tmp_path, NOBODY, -1)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(asked)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip("this system allows no network namespaces")
    assert (done.returncode, done.stdout) == (0, f"{asked}\n"), done.stderr
    assert (tmp_path / "written").stat().st_uid == asked
