"""The server as a process: what it says, signals, and mistakes on its command line."""

import http.client
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from trainer import serve
from trainer.serving import listening


@contextmanager
def server(*args: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start a server, on a free port if none is given; yield the process, its address and the lines that it logs."""
    command = [sys.executable, "-m", "trainer.serve", "--port", str(port), *args]
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
            if any("reloaded" in line for line in lines):
                break
            go_on.wait(0.1)
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert any("tiny reloaded" in line for line in lines)
        assert answers
        assert {answer["fingerprint"] for answer in answers} == {first["fingerprint"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    assert not [line for line in lines if "Traceback" in line or "Error" in line]
    rows = [json.loads(line[line.index("{") :]) for line in lines if "{" in line]
    assert {row["status"] for row in rows} == {200}
    assert len(rows) == len(answers) + 1


class Load:
    """Clients that ask again and again, and take down what they get: the answer, or that there was none."""

    def __init__(self, address: str, image: bytes, clients: int) -> None:
        self.answers: list[dict] = []
        self.failures: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address, image)) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, address: str, image: bytes) -> None:
        while not self._ended.wait(0.01):
            try:
                self.answers.append(post(address, image))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)

    def wait_for(self, outcomes: Sequence[object]) -> None:
        """Wait for eight more answers, or failures."""
        more = len(outcomes) + 8
        for _ in range(6000):
            if len(outcomes) >= more:
                return
            self._ended.wait(0.01)
        raise AssertionError(f"{len(self.answers)} answers, {len(self.failures)} failures")

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)


@pytest.mark.slow
def test_killed_under_load_it_starts_again_on_its_port_and_stopped_under_load_it_answers_what_it_accepted(
    tiny_model: Path, image: bytes
) -> None:
    args = ("--model", f"tiny={tiny_model}")
    with server(*args) as (process, address, _):
        load = Load(address, image, clients=4)
        try:
            load.wait_for(load.answers)
            process.kill()
            load.wait_for(load.failures)
            of_the_first = len(load.answers)
            with server(*args, port=int(address.rstrip("/").rpartition(":")[2])) as (again, same, lines):
                assert same == address
                load.wait_for(load.answers)
                again.send_signal(signal.SIGTERM)
                assert again.wait(60) == -signal.SIGTERM
                load.end()
        finally:
            load.end()
    assert not [line for line in lines if "Traceback" in line]
    rows = [json.loads(line[line.index("{") :]) for line in lines if "{" in line]
    assert {row["status"] for row in rows} == {200}
    assert len(rows) == len(load.answers) - of_the_first
    assert len({answer["results"][0]["text"] for answer in load.answers}) == 1


@pytest.mark.slow
def test_a_client_that_does_not_end_its_headers_is_left(tiny_model: Path) -> None:
    with server("--model", f"tiny={tiny_model}", "--body-timeout", "1") as (_, address, _):
        host, port = address.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.1\r\nX: ")
            assert client.recv(1) == b""


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
