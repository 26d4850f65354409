"""Connections whose clients send the headers of a request slowly, or never; timings have no upper limit here."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from trainer.serving import prompt_headers

SECONDS = 2.0
PATIENCE = 30.0  # of a test for what must come
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer `ok` once the body is there."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """Where a server with the limit listens."""
    listening = socket.create_server(("127.0.0.1", 0))
    http = prompt_headers.protocol(SECONDS)
    server = uvicorn.Server(uvicorn.Config(app, http=http, log_config=None, lifespan="off", timeout_keep_alive=600))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        yield connection


def answer(client: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"ok"):
        received += client.recv(1000)
    return received


def drip(client: socket.socket) -> None:
    """Send a header without end, a byte at a time, until the server closes the connection."""
    client.sendall(b"GET / HTTP/1.1\r\nX: ")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        client.sendall(b"a")
        time.sleep(0.05)
    pytest.fail("the server still reads")


def test_a_client_that_drips_its_headers_is_left(client: socket.socket) -> None:
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        drip(client)


def test_a_client_that_sends_nothing_is_left(client: socket.socket) -> None:
    assert client.recv(1) == b""


def test_the_limit_holds_for_a_later_request_on_the_connection_too(client: socket.socket) -> None:
    client.sendall(REQUEST)
    assert answer(client)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        drip(client)


def test_requests_in_time_are_answered_however_long_their_bodies_take(client: socket.socket) -> None:
    client.sendall(REQUEST[:9])
    client.sendall(REQUEST[9:])
    assert answer(client)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
    for _ in range(4):
        time.sleep(SECONDS / 2)
        client.sendall(b"a")
    assert b"200 OK" in answer(client)
    time.sleep(2 * SECONDS)  # the connection is kept open between requests, for as long as uvicorn keeps it
    client.sendall(REQUEST)
    assert answer(client)
