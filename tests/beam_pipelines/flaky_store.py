"""A proxy in front of a storage server that fails each request twice: 503, a closed connection, or a reset."""

import http.client
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import urlsplit

from tests.http_server import QuietHandler, running

FAILURES = 2  # of each request
KINDS = ("503", "hang-up", "reset")


@contextmanager
def serve(behind: str) -> Iterator[tuple[str, Counter]]:
    """Run the proxy of `http://host:port` on 127.0.0.1; yield its URL, and the failures by kind and by method."""
    failures: Counter[str] = Counter()
    shared = {"behind": behind, "failures": failures, "seen": Counter(), "lock": threading.Lock()}
    with running(type("Proxy", (_Proxy,), shared)) as port:
        yield f"http://127.0.0.1:{port}", failures


class _Proxy(QuietHandler):
    behind: ClassVar[str]
    failures: ClassVar[Counter[str]]
    seen: ClassVar[Counter[tuple[str, str]]]
    lock: ClassVar[threading.Lock]
    protocol_version = "HTTP/1.1"

    def _fails(self) -> bool:
        """Fail each request twice, in each way in turn."""
        with self.lock:
            self.seen[self.command, self.path] += 1
            if self.seen[self.command, self.path] > FAILURES:
                return False
            kind = KINDS[sum(self.failures[kind] for kind in KINDS) % len(KINDS)]
            self.failures.update([kind, self.command])
        self.close_connection = True
        if kind == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "reset":  # a socket that closes without lingering says so to the other side
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return True

    def _forward(self) -> None:
        if self._fails():
            return
        own = f"http://{self.headers['Host']}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc)
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        if "json" in response.getheader("Content-Type", ""):  # it names the places to read from and write to
            data = data.replace(self.behind.encode(), own.encode())
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "location"):
                self.send_header(name, value)
            elif name.lower() == "location":
                self.send_header(name, value.replace(self.behind, own))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward
