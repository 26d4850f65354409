"""The page in a real browser: a camera that plays a clip, a camera that is refused, files, and a token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import camera, chromium
from tests.chromium import Browser, Page
from tests.trainer.serving.test_serve import server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server("--model", "released-photos") as (_, found, _):
        yield found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[set[str]]]:
    return camera.write(tmp_path_factory.mktemp("clip"))


def click_camera(page: Page) -> None:
    page.run("document.getElementById('camera').click()")


def text(page: Page, name: str) -> str:
    return page.run(f"document.getElementById('{name}').innerText")


def complaints(browser: Browser, address: str) -> list[Any]:
    """Return exceptions of the page, what it logged, and requests to other servers."""
    browser.do("Target.getTargets")  # its answer comes after all events so far
    found = [e for e in browser.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    return [*found, *(url for url in asked if not url.startswith((address, "data:", "blob:")))]


def test_the_camera_is_read_frame_by_frame(address: str, clip: tuple[Path, list[set[str]]], tmp_path: Path) -> None:
    path, numbers = clip
    with chromium.browser(tmp_path / "profile", *camera.flags(path)) as browser:
        page = browser.open(address)
        click_camera(page)
        for of_scene in numbers:
            page.wait(f"[...history].some((one) => {sorted(of_scene)}.includes(one[2]))")
        with_number = (  # at once, since the next frame may have none
            "document.getElementById('numbers').children.length > 0",
            "document.getElementById('speed').innerText.endsWith(' frames a second')",
            "document.getElementById('status').innerText.includes(', confidence ')",
        )
        page.wait(" && ".join(with_number))
        drawn = "document.getElementById('frames').getContext('2d').getImageData(0, 0, 600, 400).data.some((x) => x)"
        page.wait(drawn)
        page.screenshot(tmp_path / "phone.png", 390, 844, mobile=True)
        assert page.run("document.documentElement.scrollWidth") <= 390
        click_camera(page)
        assert text(page, "camera") == "Start camera"
        assert text(page, "speed") == ""
        assert page.run("document.getElementById('download').disabled") is False
        assert complaints(browser, address) == []


def test_a_camera_that_is_refused_is_said_and_files_are_still_read(
    address: str, clip: tuple[Path, list[set[str]]], tmp_path: Path
) -> None:
    image = next((clip[0].parent / "scenes" / "images").iterdir())
    (tmp_path / "note.txt").write_text("not an image")
    with chromium.browser(tmp_path / "profile") as browser:
        page = browser.open(address)
        click_camera(page)
        page.wait("document.getElementById('status').textContent.startsWith('The camera cannot be used: ')")
        root = page.do("DOM.getDocument")["root"]["nodeId"]
        chooser = page.do("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        page.do("DOM.setFileInputFiles", nodeId=chooser, files=[str(image)])
        page.wait("history.length === 1")
        assert image.name in text(page, "history")
        assert page.barriers() == []
        page.do("DOM.setFileInputFiles", nodeId=chooser, files=[str(tmp_path / "note.txt")])
        page.wait("document.getElementById('status').textContent.startsWith('Not read: ')")
        assert page.run("history.length") == 1


def test_a_server_with_a_token_asks_for_it(tiny_model: Path, clip: tuple[Path, list[set[str]]], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    options = ["--model", f"tiny={tiny_model}", "--token-file", str(tmp_path / "token")]
    with server(*options) as (_, address, _), chromium.browser(tmp_path / "p", *camera.flags(clip[0])) as browser:
        page = browser.open(address)
        assert page.run("document.getElementById('token-form').hidden")
        click_camera(page)
        page.wait("!document.getElementById('token-form').hidden")
        page.wait("document.getElementById('status').textContent.includes('send the header Authorization')")
        page.run("document.getElementById('token').value = 'secret'")
        page.wait("document.getElementById('speed').textContent !== ''")
        page.wait("!document.getElementById('status').textContent.startsWith('Not read')")
