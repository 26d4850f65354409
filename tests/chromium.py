"""Headless Chromium, driven by its DevTools protocol over a pipe: no further package, no port."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60.0  # to wait for a page
KEYS = {"Enter": 13, "Backspace": 8, "Escape": 27}


class Page:
    """A page of a browser."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self.browser, self.session = browser, session

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Run a command of the protocol in this page."""
        return self.browser.do(method, self.session, **params)

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        out = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in out, out
        return out["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + SECONDS
        while not self.run(condition):
            assert time.monotonic() < until, f"{condition}\n{self.run('document.body && document.body.innerText')}"
            time.sleep(0.02)

    def barriers(self) -> list[str]:
        """Return what keeps people from using the page, in light or in dark colours, by the rules of axe-core."""
        self.run(f"{files('axe_core_python').joinpath('axe.min.js').read_text(encoding='utf-8')}; 0")
        found = []
        for scheme in ("dark", "light"):
            self.prefer(scheme)
            out = self.run("axe.run(document, {resultTypes: ['violations', 'passes']})")
            assert len(out["passes"]) > 10
            found += [
                f"{scheme}: {one['impact']}: {one['help']}: {one['nodes'][0]['html']}" for one in out["violations"]
            ]
        return found

    def press(self, key: str) -> None:
        """Hit a key."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Press the mouse at a point of the window, in CSS pixels, and release it at another."""
        steps = (("mousePressed", x0, y0), ("mouseMoved", (x0 + x1) / 2, (y0 + y1) / 2), ("mouseMoved", x1, y1))
        for kind, x, y in (*steps, ("mouseReleased", x1, y1)):
            buttons = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1}
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **buttons)

    def prefer(self, scheme: str) -> None:
        """Show the page as to somebody who prefers `light` or `dark`."""
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path, width: int, height: int, *, dark: bool = False, mobile: bool = False) -> None:
        """Write a PNG of the page in a window of this size in CSS pixels."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.prefer("dark" if dark else "light")
        time.sleep(0.2)
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


class Browser:
    """A running browser."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, of: int) -> None:
        self.process, self._to, self._of = process, to, of
        self._ids, self._rest = itertools.count(1), b""
        self.events: list[dict[str, Any]] = []

    def do(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Run a command and return its result; what the browser says meanwhile is kept in `events`."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._said()
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            self.events.append(said)

    def open(self, url: str) -> Page:
        """Open a page."""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.do(f"{domain}.enable")
        page.do("Page.navigate", url=url)
        page.wait("document.readyState === 'complete'")
        return page

    def _said(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._of, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


def _moved(descriptor: int) -> int:
    """Return the same pipe under a number from 10 on."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


@contextmanager
def browser(profile: Path, *options: str) -> Iterator[Browser]:
    """Start a browser with a new profile and further options; end it after the block."""
    assert PROGRAM
    (its_in, to), (of, its_out) = os.pipe(), os.pipe()
    # The protocol is on the descriptors 3 and 4; a shell moves ours there, from numbers that are neither.
    its_in, its_out = _moved(its_in), _moved(its_out)
    script = f'exec "$@" 3<&{its_in} 4>&{its_out}'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    flags += [f"--user-data-dir={profile}", "--no-first-run", "--disable-background-networking", "--mute-audio"]
    flags += options
    with subprocess.Popen(
        ["bash", "-c", script, "bash", PROGRAM, *flags],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(its_in)
        os.close(its_out)
        made = Browser(process, to, of)
        try:
            yield made
            made.do("Browser.close")
            process.wait(20)
        finally:
            process.kill()
            os.close(to)
            os.close(of)
