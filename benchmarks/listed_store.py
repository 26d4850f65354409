"""A simulated bucket of any number of objects, which Google's and Amazon's clients can list, and nothing else.

Its names are computed when they are asked for, so that ten million take no memory.
"""

import contextlib
import json
import multiprocessing
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

PAGE = 1000  # names in an answer, at most
SIZE, UPDATED = 1_000_000, "2026-01-01T00:00:00.000Z"  # of each object


@dataclass(frozen=True)
class Names(Sequence[str]):
    """The names of `objects` objects in the order of a store, divided over `folders`; 0 for none."""

    objects: int
    folders: int

    def __len__(self) -> int:
        return self.objects

    def __getitem__(self, place):  # slices are not needed
        folder = f"{place * self.folders // self.objects:05d}/" if self.folders else ""
        return f"photos/{folder}{place:09d}.jpg"


class Page(NamedTuple):
    """An answer: names, common prefixes, and where the next page begins, None for the last one."""

    names: list[str]
    prefixes: list[str]
    following: int | None


@dataclass
class ListedStore:
    """The bucket.

    Attributes:
      names: in the order of their UTF-8 bytes.
      latency: seconds that each answer takes.
      page: names in an answer, at most.
      refused: the range that begins after this name may not be listed.
      requests: the parameters of each request for a list.
    """

    names: Sequence[str]
    latency: float = 0.0
    page: int = PAGE
    refused: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)

    def first(self, name: str) -> int:
        """Return the place of the first name that is not before this one."""
        return bisect_left(range(len(self.names)), name, key=self.names.__getitem__)

    def listed(self, prefix: str, delimiter: str, begin: int, end: int, most: int) -> Page:
        """Return a page of the names with a prefix from one place to another."""
        names: list[str] = []
        prefixes: list[str] = []
        place = begin
        while place < end and (name := self.names[place]).startswith(prefix) and len(names) + len(prefixes) < most:
            inside = name.find(delimiter, len(prefix)) if delimiter else -1
            if inside < 0:
                names.append(name)
                place += 1
            else:
                prefixes.append(name[: inside + 1])
                place = self.first(name[:inside] + chr(ord(delimiter) + 1))
        more = place < end and self.names[place].startswith(prefix)
        return Page(names, prefixes, place if more else None)


@contextlib.contextmanager
def served(store: ListedStore) -> Iterator[str]:
    """Serve a bucket in a thread; yield the URL for STORAGE_EMULATOR_HOST and AWS_ENDPOINT_URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"store": store}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def served_apart(store: ListedStore) -> Iterator[str]:
    """Serve a bucket in a process of its own, as `served`."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_serve, args=(store, its), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(store: ListedStore, pipe) -> None:
    with served(store) as url:
        pipe.send(url)
        pipe.recv()


class _Answers(BaseHTTPRequestHandler):
    store: ListedStore
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the headers and the body of an answer leave together

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "list-type" not in asked and not url.path.endswith("/o"):  # Google's client asks for the bucket, too
            self._send(200, "json", "{}")
            return
        time.sleep(self.store.latency)
        self.store.requests.append(asked)
        answer, kind = (_as_amazon, "xml") if "list-type" in asked else (_as_google, "json")
        if self.store.refused in (asked.get("startOffset", ""), asked.get("start-after", "")):
            self._send(403, kind, "")
        else:
            self._send(200, kind, answer(self.store, asked))

    def _send(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _as_google(store: ListedStore, asked: dict[str, str]) -> str:
    prefix = asked.get("prefix", "")
    begin = int(asked["pageToken"]) if "pageToken" in asked else store.first(max(prefix, asked.get("startOffset", "")))
    end = store.first(asked["endOffset"]) if "endOffset" in asked else len(store.names)
    most = min(store.page, int(asked.get("maxResults", store.page)))
    page = store.listed(prefix, asked.get("delimiter", ""), begin, end, most)
    items = [{"name": name, "size": str(SIZE), "updated": UPDATED} for name in page.names]
    following = {} if page.following is None else {"nextPageToken": str(page.following)}
    return json.dumps({"kind": "storage#objects", "items": items, "prefixes": page.prefixes, **following})


def _as_amazon(store: ListedStore, asked: dict[str, str]) -> str:
    prefix, after = asked.get("prefix", ""), asked.get("start-after", "")
    begin = store.first(max(prefix, f"{after}\0" if after else ""))
    begin = int(asked["continuation-token"]) if "continuation-token" in asked else begin
    most = min(store.page, int(asked.get("max-keys", store.page)))
    page = store.listed(prefix, asked.get("delimiter", ""), begin, len(store.names), most)
    contents = "".join(
        f"<Contents><Key>{escape(name)}</Key><Size>{SIZE}</Size><LastModified>{UPDATED}</LastModified></Contents>"
        for name in page.names
    )
    common = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in page.prefixes)
    following = "" if page.following is None else f"<NextContinuationToken>{page.following}</NextContinuationToken>"
    truncated = str(page.following is not None).lower()
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}{common}{following}</ListBucketResult>"
