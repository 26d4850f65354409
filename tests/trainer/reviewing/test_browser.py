"""The page in a real browser: keys, typing, undo, a second reviewer, and a server that is killed."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import chromium
from tests.chromium import Page
from tests.trainer.reviewing import scored

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paths = scored.images(tmp_path / "images", 9)
    rows = [scored.row(path, text=str(20 + i), confidence=0.05 * (i + 1)) for i, path in enumerate(paths)]
    return scored.write(tmp_path / "predictions", rows)


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "trainer.review", str(folder), "--port", "0", "--check", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr
            address = next(found for line in process.stderr if (found := re.search(r"http://\S+/", line)))
            yield process, address[0]
        finally:
            process.kill()


def answers(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{folder}.answers/answers.jsonl").read_text().splitlines()]


def settled(page: Page) -> None:
    page.wait("!busy && (shown !== null || document.getElementById('status').textContent === 'Done.')")


def press(page: Page, *keys: str) -> None:
    """Hit keys, and wait until the page is ready again."""
    for key in keys:
        page.press(key)
    settled(page)


def test_a_review_by_keys_is_stored_answer_by_answer(folder: Path, tmp_path: Path) -> None:
    with chromium.browser(tmp_path / "profile") as program:
        with server(folder) as (process, address):
            page = program.open(address)
            settled(page)
            assert page.run("document.activeElement.id") == "question"
            page.wait("document.getElementById('image').naturalWidth > 0")
            assert page.barriers() == []
            for keys in ("2", ["Enter"], "n", "x", ["b", "t", "4", "5", "Enter"], "u"):
                press(page, *keys)
            press(page, "4", "6", "Enter")  # 4 is the key of no candidate, so it begins the text
            stored = [(one["kind"], one["text"], one["box_right"]) for one in answers(folder)]
            assert stored == [
                ("number", "2", True),
                ("number", "21", True),
                ("none", "", True),
                ("unreadable", "", True),
                ("number", "45", False),
                ("withdrawn", "", True),
                ("number", "46", True),
            ]
            assert page.run("document.getElementById('count').textContent") == "5 of 9 answered"
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.press("1")
            page.wait("document.getElementById('status').textContent.startsWith('Not done')")
        with server(folder) as (_, address):
            page = program.open(address)
            settled(page)
            assert page.run("document.getElementById('count').textContent") == "5 of 9 answered"
            assert page.run("shown.row.text") == "25"
            for _ in range(4):
                press(page, "1")
            assert page.run("document.getElementById('no-image').textContent") == "Everything is answered."
        assert len(answers(folder)) == 11
        assert not [event for event in program.events if event["method"] == "Runtime.exceptionThrown"]
        sent = [event["params"] for event in program.events if event["method"] == "Network.requestWillBeSent"]
        assert all(one["request"]["url"].startswith(("http://127.0.0.1:", "blob:", "data:")) for one in sent)


def test_a_frame_that_is_drawn_is_stored_in_pixels_of_the_image(folder: Path, tmp_path: Path) -> None:
    """The image of 80 x 40 pixels is shown larger, with room at two sides."""
    with chromium.browser(tmp_path / "profile") as program, server(folder) as (_, address):
        page = program.open(address)
        settled(page)
        page.press("b")
        page.wait("document.getElementById('figure').classList.contains('drawing')")
        place = page.run("(({left, top, scale, figure}) => [figure.left + left, figure.top + top, scale])(placement())")
        corners = [place[i % 2] + place[2] * edge for i, edge in enumerate((20, 8, 60, 32))]
        page.drag(*corners)
        page.wait("!document.getElementById('drawn').hidden && shown.from === null")
        press(page, "1")
        press(page, "2")
        first, second = answers(folder)
        assert first["box"] == pytest.approx([20, 8, 60, 8, 60, 32, 20, 32], abs=0.5)
        assert (first["box_right"], second["box_right"], second["box"]) == (False, True, None)
        page.press("b")
        page.wait("document.getElementById('figure').classList.contains('drawing')")
        page.drag(*corners)
        press(page, "b", "1")  # the frame is taken back, so that of the model counts again
        assert (answers(folder)[-1]["box_right"], answers(folder)[-1]["box"]) == (True, None)
        assert not [event for event in program.events if event["method"] == "Runtime.exceptionThrown"]


def test_two_reviewers_see_that_a_row_was_answered_meanwhile(folder: Path, tmp_path: Path) -> None:
    """Each has a server of their own on the same answers, so both are shown the same rows."""
    with chromium.browser(tmp_path / "profile") as program, server(folder) as (_, one), server(folder) as (_, two):
        pages = [program.open(address) for address in (one, two)]
        for page, name in zip(pages, ("anna", "ben"), strict=True):
            settled(page)
            page.run(f"document.getElementById('reviewer').value = '{name}'")
        anna, ben = pages
        assert anna.run("shown.row.row") == ben.run("shown.row.row")
        press(anna, "1")
        press(ben, "2")
        assert "anna has answered this meanwhile: 20" in ben.run(
            "document.getElementById('meanwhile-text').textContent"
        )
        assert len(answers(folder)) == 1
        ben.run("document.getElementById('replace').click()")
        settled(ben)
        assert [(a["reviewer"], a["text"]) for a in answers(folder)] == [("anna", "20"), ("ben", "2")]
        press(anna, "u")  # ben has answered since: his answer stays, and anna is shown it
        assert len(answers(folder)) == 2
        assert anna.run("shown.row.history.length") == 2
        assert not [event for event in program.events if event["method"] == "Runtime.exceptionThrown"]
