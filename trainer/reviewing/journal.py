"""Store answers in an append-only file, one JSON object per line, so that no answer ever overwrites another.

An answer is written while the file is locked, and is on the disk before it is acknowledged. A process that is killed
while it writes leaves at most one incomplete line, which was never acknowledged: readers skip it, and the next answer
begins on a new line. Servers that share the file read each other's answers before they write.
"""

import contextlib
import dataclasses
import json
import os
import threading
from dataclasses import dataclass
from typing import Literal, get_args

from trainer.cli import UserError
from trainer.files import file_descriptor, local_file
from trainer.files.file_descriptor import READ_WRITE

NAME = "answers.jsonl"
CORNERS = 8  # values of a box
Kind = Literal["number", "none", "unreadable", "withdrawn"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Answer:
    """What a person said about an image.

    Attributes:
      key: of the image.
      kind: `number` if it shows the number in `text`, `none`, or `unreadable`; `withdrawn` undoes the previous answer.
      text: the number, else empty.
      box_right: whether the model's box is around this number.
      reviewer: who gave the answer.
      time: when, in UTC (ISO 8601).
      read: what the model had read.
      box: the corners that the reviewer has drawn around the number, clockwise from the top left, in pixels of the
        upright image; None if the reviewer drew none.
    """

    key: str
    kind: Kind
    text: str
    box_right: bool
    reviewer: str
    time: str
    read: str
    box: tuple[float, ...] | None = None


class Newer(Exception):
    """The image has answers that the reviewer has not seen."""


class Journal:
    """The answers in a folder; safe for threads, and for other processes that use the same folder.

    Raises:
      UserError: the folder cannot be created, or its answers cannot be read.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, NAME)
        self.damaged = 0  # lines that are not answers
        self._histories: dict[str, list[Answer]] = {}
        self._position, self._mutex = 0, threading.Lock()
        try:
            os.makedirs(folder, exist_ok=True)
            if os.path.lexists(self.path):
                local_file.check_regular(self.path)
            self._descriptor = os.open(self.path, READ_WRITE | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(
                f"--answers {folder}: {self.path} cannot be used ({error.strerror or error}): give another folder"
            ) from error
        file_descriptor.sync_folder(folder)
        self.refresh()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def refresh(self) -> None:
        """Read answers that other processes have added."""
        with self._mutex:
            self._read()

    def history(self, key: str) -> tuple[Answer, ...]:
        """Return all answers about an image, the oldest first."""
        return tuple(self._histories.get(key, ()))

    def current(self, key: str) -> Answer | None:
        """Return the valid answer about an image: the last one, unless it was withdrawn."""
        last = next(iter(self._histories.get(key, ())[-1:]), None)
        return None if last is None or last.kind == "withdrawn" else last

    def keys(self) -> frozenset[str]:
        """Return the keys of all images with a valid answer."""
        return frozenset(key for key in tuple(self._histories) if self.current(key))

    def add(self, answer: Answer, *, seen: int) -> None:
        """Store an answer on the disk.

        Args:
          answer: what to store.
          seen: how many answers about the image its reviewer has seen.
        Raises:
          Newer: there are more answers by now; nothing is stored.
          OSError: it cannot be written, e.g. since the disk is full; a partly written answer does not count.
        """
        with self._mutex, file_descriptor.locked(self._descriptor):
            self._read()
            if len(self._histories.get(answer.key, ())) != seen:
                raise Newer
            size = os.fstat(self._descriptor).st_size
            line = json.dumps(dataclasses.asdict(answer)).encode() + b"\n"
            torn = size > 0 and file_descriptor.read_at(self._descriptor, 1, size - 1) != b"\n"
            self._write((b"\n" if torn else b"") + line)
            os.fsync(self._descriptor)
            self._read()

    def _write(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._descriptor, content) :]

    def _read(self) -> None:
        """Read the complete lines that were not read before."""
        size = os.fstat(self._descriptor).st_size
        content = bytearray()
        while len(content) < size - self._position:
            chunk = file_descriptor.read_at(self._descriptor, 1 << 24, self._position + len(content))
            if not chunk:
                break
            content += chunk
        end = content.rfind(b"\n") + 1
        for line in bytes(content[:end]).splitlines():
            answer = _parsed(line)
            if answer:
                self._histories.setdefault(answer.key, []).append(answer)
            elif line.strip():
                self.damaged += 1
        self._position += end


def _parsed(line: bytes) -> Answer | None:
    """Return the answer in a line; None if it is not one, e.g. since a process was killed while writing it."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
        fields = json.loads(line)
        box = fields.get("box")
        answer = Answer(**{**fields, "box": None if box is None else tuple(map(float, box))})
        texts = (answer.key, answer.text, answer.reviewer, answer.time, answer.read)
        sound = (
            answer.kind in KINDS and isinstance(answer.box_right, bool) and len(answer.box or range(CORNERS)) == CORNERS
        )
        if sound and all(isinstance(text, str) for text in texts):
            return answer
    return None
