"""A proxy that redirects TensorFlow's gs:// to an emulator: its addresses are fixed, but it honours a proxy.

It terminates the TLS of `www.googleapis.com` and `storage.googleapis.com` with certificates from its own authority.
"""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import trustme

from tests.http_server import QuietHandler, running

HOSTS = ("www.googleapis.com", "storage.googleapis.com")

ONLY_HERE = ("Expect", "Proxy-Connection", "Transfer-Encoding", "Content-Length")  # headers that are not passed on

LAYOUT = b'{"hierarchicalNamespace": {"enabled": false}}'


@contextmanager
def serve(emulator: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run it on 127.0.0.1 in front of the emulator at `http://host:port`.

    Yields:
      The environment that makes TensorFlow use the proxy for gs://; the authority's certificate is in the folder.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(tls)
    with running(type("Proxy", (_Proxy,), {"emulator": emulator, "tls": tls})) as port:
        proxy = f"http://127.0.0.1:{port}"
        yield {
            "http_proxy": proxy,  # the emulator returns upload sessions without TLS
            "https_proxy": proxy,
            "CURL_CA_BUNDLE": str(folder / "authority.pem"),
            "NO_GCE_CHECK": "true",
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "any",
        }


class _Proxy(QuietHandler):
    emulator: ClassVar[str]
    tls: ClassVar[ssl.SSLContext]
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.request = self.tls.wrap_socket(self.request, server_side=True)
        self.setup()  # the requests that follow come through the tunnel
        self.close_connection = False

    def _body(self) -> bytes:
        """Return the body with its chunks joined, which the emulator does not support."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self) -> None:
        url, body = urlsplit(self.path), self._body()
        if "uploadType=media" in url.query and not body:
            body = b"\n"  # a folder's marker is empty, which the emulator cannot handle
        if url.path.endswith("/storageLayout"):
            self._answer(200, [], LAYOUT)  # the emulator has none
            return
        connection = http.client.HTTPConnection(urlsplit(self.emulator).netloc)
        headers = {name: value for name, value in self.headers.items() if name not in ONLY_HERE}
        connection.request(self.command, url._replace(scheme="", netloc="").geturl(), body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        self._answer(response.status, response.getheaders(), data)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _forward
