"""The journal of answers: nothing that was acknowledged is lost or replaced, whoever writes and whenever one dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.cli import UserError
from trainer.reviewing.journal import NAME, Answer, Journal, Kind, Newer


def answer(key: str, text: str, reviewer: str = "anna", kind: Kind = "number") -> Answer:
    return Answer(key, kind, text, True, reviewer, "2026-11-27T10:00:00+00:00", "1")


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(("k1", "k2", "k3")), st.sampled_from(("look", "answer", "undo", "tear"))
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_any_interleaving_of_two_reviewers_keeps_every_answer_that_was_accepted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """The two have journals of their own on one folder, as two servers have; a writer may die within a line."""
    folder = tmp_path_factory.mktemp("answers")
    journals = {name: Journal(str(folder)) for name in "ab"}
    seen: dict[tuple[str, str], int] = {}
    accepted: dict[str, list[Answer]] = {}
    for number, (who, key, action) in enumerate(steps):
        if action == "look":
            journals[who].refresh()
            seen[who, key] = len(journals[who].history(key))
        elif action == "tear":
            with (folder / NAME).open("ab") as file:
                file.write(b'{"key": "k1", "kind": "number", "te')
        else:
            given_ = answer(key, str(number), who, "withdrawn" if action == "undo" else "number")
            is_new = seen.get((who, key), 0) == len(accepted.get(key, []))
            try:
                journals[who].add(given_, seen=seen.get((who, key), 0))
            except Newer:
                assert not is_new
            else:
                assert is_new, "an answer replaced one that its reviewer had not seen"
                accepted.setdefault(key, []).append(given_)
                seen[who, key] = len(accepted[key])
    for journal in (*journals.values(), Journal(str(folder))):
        journal.refresh()
        for key in ("k1", "k2", "k3"):
            assert list(journal.history(key)) == accepted.get(key, [])
            last = accepted.get(key, [None])[-1]
            assert journal.current(key) == (None if last is None or last.kind == "withdrawn" else last)
        journal.close()


WRITER = """
import sys
from trainer.reviewing.journal import Answer, Journal
journal, name = Journal(sys.argv[1]), sys.argv[2]
for number in range(100_000):
    journal.add(Answer(f"{name}{number}", "number", "7", True, name, "", "x" * 3000), seen=0)
    print(f"{name}{number}", flush=True)
"""


def test_writers_that_are_killed_lose_no_answer_that_they_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline()  # it writes
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    said = [f"{name}0" for name in "abc"]
    for writer in writers:
        assert writer.stdout
        with writer.stdout as stdout:
            said += stdout.read().split("\n")[:-1]
        writer.wait()
    journal = Journal(str(tmp_path))
    assert set(said) <= journal.keys()
    journal.add(answer("after", "1"), seen=0)
    assert "after" in Journal(str(tmp_path)).keys()  # noqa: SIM118 - not a dictionary


RACER = """
import sys
from trainer.reviewing.journal import Answer, Journal, Newer
journal, name = Journal(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(300):
    try:
        journal.add(Answer(f"k{number}", "number", name, True, name, "", ""), seen=0)
        print(f"k{number}", flush=True)
    except Newer:
        pass
"""


def test_of_processes_that_answer_the_same_row_at_once_one_is_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = {name: subprocess.Popen([*command, name], **pipes) for name in "abc"}  # type: ignore[call-overload]
    for racer in racers.values():
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = {name: racer.communicate()[0].split() for name, racer in racers.items()}
    assert sorted(key for keys in said.values() for key in keys) == sorted(f"k{number}" for number in range(300))
    journal = Journal(str(tmp_path))
    for name, keys in said.items():
        assert all([one.reviewer for one in journal.history(key)] == [name] for key in keys)


def test_lines_that_are_no_answers_are_counted_and_skipped(tmp_path: Path) -> None:
    lines = [b"{", b"[]", b'{"key": 1}', b"\xff", b'{"key":"a","kind":"maybe","text":"","box_right":true,"reviewer":"",'
             b'"time":"","read":""}']  # fmt: skip
    (tmp_path / NAME).write_bytes(b"\n".join(lines) + b"\n\n")
    journal = Journal(str(tmp_path))
    assert (journal.damaged, journal.keys()) == (len(lines), frozenset())


def test_a_full_disk_is_an_error_and_the_torn_line_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(str(tmp_path)), os.write
    journal.add(answer("a", "1"), seen=0)

    def half(descriptor: int, content: bytes) -> int:
        if content.endswith(b"}\n") and len(content) < 60:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        journal.add(answer("b", "2"), seen=0)
    monkeypatch.undo()
    assert journal.keys() == {"a"}
    journal.add(answer("b", "3"), seen=0)
    again = Journal(str(tmp_path))
    assert [one.text for one in again.history("b")] == ["3"]


def test_a_place_that_cannot_hold_answers_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / NAME).mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / NAME)
    for name in ("file", "folder", "pipe"):
        with pytest.raises(UserError, match="give another folder"):
            Journal(str(tmp_path / name))
