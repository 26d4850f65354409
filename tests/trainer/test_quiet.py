"""Native start-up output is held back; in separate processes, since descriptor 2 belongs to the whole process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PREAMBLE = """
import logging, os, signal, sys, threading
from trainer.cluster import environment; from trainer import quiet
from trainer.cli import UserError
logging.basicConfig(format="logged %(message)s", stream=sys.stderr)
def native(text):
    os.write(2, text.encode() + b"\\n")
"""


def run(script: str, *, level: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/bin:/usr/bin"} | (
        {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    )
    command = [sys.executable, "-c", PREAMBLE + script]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_only_native_output_is_held_back() -> None:
    done = run("""
native("before")
with environment.native_stderr():
    native("held")
    print("printed", file=sys.stderr)
    logging.warning("meanwhile")
    logging.getLogger("other").addHandler(logging.StreamHandler())
logging.warning("after")
logging.getLogger("other").warning("by a handler made meanwhile")
native("after")
""")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "before",
        "printed",
        "logged meanwhile",
        "logged after",
        "by a handler made meanwhile",
        "logged by a handler made meanwhile",
        "after",
    ]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("raise RuntimeError('no start')", 1),
        ("import a_module_that_does_not_exist", 1),
        ("os._exit(41)", 41),
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGILL)", -signal.SIGILL),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_a_start_that_fails_shows_what_was_held_back(end: str, status: int) -> None:
    done = run(f"with environment.native_stderr():\n    native('why it fails')\n    {end}\n")
    assert done.returncode == status
    assert done.stderr.splitlines()[0] == "why it fails"


@pytest.mark.parametrize("end", ["raise UserError('a mistake')", "raise KeyboardInterrupt", "sys.exit(143)"])
def test_what_is_no_failure_of_native_code_shows_nothing(end: str) -> None:
    done = run(f"with environment.native_stderr():\n    native('chatter')\n    {end}\n")
    assert done.returncode != 0
    assert "chatter" not in done.stderr


def test_who_is_stopped_with_its_group_shows_nothing() -> None:
    """As the tasks of a cluster do, the process blocks SIGTERM in all threads but one."""
    done = run("""
os.setsid()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with environment.native_stderr():
    native("chatter")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.killpg(0, signal.SIGTERM)
""")
    assert done.returncode == -signal.SIGTERM
    assert "chatter" not in done.stderr


def test_blocks_in_several_threads_and_within_each_other() -> None:
    done = run("""
both = threading.Barrier(2)
def work():
    for i in range(50):
        with environment.native_stderr():
            both.wait()
            native("chatter")
            with environment.native_stderr():
                print("line", file=sys.stderr)
        both.wait()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
native("after")
assert len(os.listdir("/proc/self/fd")) < 20
""")
    assert done.stderr.splitlines() == ["line"] * 100 + ["after"]


def test_a_failure_in_one_thread_is_shown_when_the_last_has_ended() -> None:
    done = run("""
inside, failed = threading.Event(), threading.Event()
def load():
    with environment.native_stderr():
        inside.set(); failed.wait()
thread = threading.Thread(target=load); thread.start(); inside.wait()
try:
    with environment.native_stderr():
        native("why it fails"); raise RuntimeError
except RuntimeError:
    failed.set(); thread.join()
with environment.native_stderr():
    native("chatter")
""")
    assert done.stderr.splitlines() == ["why it fails"]


@pytest.mark.parametrize("level", ["0", "1"])
def test_who_asks_for_more_messages_sees_them(level: str) -> None:
    assert run("with environment.native_stderr(): native('shown')", level=level).stderr == "shown\n"
    assert run("with environment.native_stderr(): native('held')", level="3").stderr == ""


@pytest.mark.parametrize("trouble", ["os.close(2)", "import tempfile; tempfile.tempdir = '/nowhere'"])
def test_where_nothing_can_be_held_back_the_work_is_done(trouble: str, tmp_path: Path) -> None:
    done = run(f"{trouble}\nwith environment.native_stderr(): print('done')", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_tensorflow_that_cannot_be_imported_leaves_a_trace(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'no AVX\\n'); os.abort()")
    done = run(f"sys.path.insert(0, {str(tmp_path)!r}); environment.configure()")
    assert done.returncode == -signal.SIGABRT
    assert "no AVX" in done.stderr
