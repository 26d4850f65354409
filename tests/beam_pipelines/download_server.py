"""A server of the official files that makes every mistake that servers make."""

from dataclasses import dataclass, field

from tests.http_server import QuietHandler

ETAG = '"first"'


@dataclass
class Server:
    """Serve `files`; each request takes a misdeed from `misdeeds`, until none are left."""

    files: dict[str, bytes] = field(default_factory=dict)
    misdeeds: list[str] = field(default_factory=list)
    etag: str = ETAG
    ranges: list[str | None] = field(default_factory=list)  # what each request asked for
    url: str = ""


class Handler(QuietHandler):
    server_of_ours: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server_of_ours
        misdeed = server.misdeeds.pop(0) if server.misdeeds else "none"
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        body = server.files.get(self.path.strip("/"))
        self.close_connection = True
        if body is None or misdeed.isdigit():
            self.send_error(int(misdeed) if misdeed.isdigit() else 404)
            return
        start, total = 0, len(body)
        if asked and misdeed != "ignore the range" and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Type", "application/x-gzip")
        if misdeed != "end without a length":
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        rest = body[start:]
        cut = len(rest) // 2 if misdeed in ("drop", "end without a length", "ignore the range") else len(rest)
        self.wfile.write(rest[:cut])
