"""The server as a process: what it says, signals, and mistakes on its command line."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from trainer import serve
from trainer.serving import listening


@contextmanager
def server(*args: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start a server on a free port; yield the process, its address, and the lines that it logs."""
    command = [sys.executable, "-m", "trainer.serve", "--port", "0", *args]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        try:
            address = re.search(r"http://\S+/", lines[0])
            assert address, lines[0] + process.stderr.read()
            reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
            reader.start()
            yield process, address[0], lines
        finally:
            process.kill()
        reader.join(10)


def post(address: str, image: bytes) -> dict:
    with urllib.request.urlopen(urllib.request.Request(f"{address}v1/read", image), timeout=30) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32), (90, 120, 30)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_requests_go_on_while_the_model_is_loaded_again_and_those_taken_are_answered(
    tiny_model: Path, image: bytes
) -> None:
    with server("--model", f"tiny={tiny_model}") as (process, address, lines):
        first = post(address, image)
        answers: list[dict] = []
        go_on = threading.Event()

        def ask() -> None:
            while not go_on.is_set():
                answers.append(post(address, image))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        process.send_signal(signal.SIGHUP)
        for _ in range(600):
            if any("loaded again" in line for line in lines):
                break
            go_on.wait(0.1)
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert any("tiny loaded again" in line for line in lines)
        assert answers
        assert {answer["fingerprint"] for answer in answers} == {first["fingerprint"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    assert not [line for line in lines if "Traceback" in line or "Error" in line]
    rows = [json.loads(line[line.index("{") :]) for line in lines if "{" in line]
    assert {row["status"] for row in rows} == {200}
    assert len(rows) == len(answers) + 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "/nowhere"], "give a name, e.g. --model meters=/nowhere"),
        (["--model", "a=x", "a=y"], "is empty, given twice, or contains"),
        (["--model", "=x"], "is empty, given twice, or contains"),
        (["--model", "a=/nowhere", "--port", "0"], "/nowhere"),
        (["--token-file", "/nowhere"], "--token-file /nowhere cannot be read (No such file"),
        (["--token-file", "{empty}"], "is empty: write a long random text to it"),
        (["--token-file", "{pipe}"], "it is a pipe, not a regular file"),
        (["--token-file", "/dev/zero"], "it is a device, not a regular file"),
        (["--body-timeout", "0"], "--body-timeout"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1 --port 8080"),
        (["--port", "70000"], "give a whole number, at least 0 and at most 65,535"),
        (["--batch-size", "0"], "give a whole number"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    assert serve.main([arg.format(empty=tmp_path / "empty", pipe=tmp_path / "pipe") for arg in args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with listening.listen("127.0.0.1", 0) as taken:
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # or each answer takes 40 ms longer
        port = str(taken.getsockname()[1])
        assert serve.main(["--port", port]) == 2
    assert f"--host 127.0.0.1 --port {port}: Address already in use; give another port" in capsys.readouterr().err
