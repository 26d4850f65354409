"""Download one file over HTTP, resuming where an earlier attempt or run was interrupted."""

import time
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError
from urllib3.util import Retry

from trainer import logs, progress
from trainer.cli import UserError

# Waits 0, 1, 2, 4 ... 60 seconds, or as long as the server asks; gives up after about three minutes without data.
RETRY = Retry(total=9, backoff_factor=0.5, backoff_max=60, status_forcelist=(429, 500, 502, 503, 504))
TIMEOUT = (30, 60)  # seconds, to connect and between two reads
CHUNK_BYTES = 2**18
PROGRESS_SECONDS = 2.0


class Progress:
    """Reports progress on standard error every two seconds.

    Args:
      what: the name to show.
      total: bytes in total.
      done: bytes that existed before.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self.what, self.total, self.first = what, total, done
        self.begin = self.shown = time.monotonic()

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown >= PROGRESS_SECONDS and not (progress.drawn() or logs.chosen().json):
            self.shown = now
            rate = max((done - self.first) / (now - self.begin), 1)
            left = f"{rate / 1e6:.1f} MB/s, {(self.total - done) / rate:.0f} s left"
            logs.say(f"{self.what}: {done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB, {left}")


def fetch(url: str, path: Path, *, size: int) -> None:
    """Fetch a file of `size` bytes; resume after the bytes that `path` already has if the server's file is unchanged.

    Raises:
      UserError: the server does not have the file, has a different one, or could not be reached for minutes.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=RETRY))
    retry, furthest = RETRY, 0
    while (done := size_of(path)) < size:
        if done > furthest:  # data arrived, so retry: a bad connection must not end a long transfer
            retry, furthest = RETRY, done
        try:
            _transfer(session, url, path, size)
        except requests.RequestException as error:
            raise UserError(_gave_up(url, path, error)) from error
        except HTTPError as error:  # in the body, where the session does not retry
            logs.say(f"{path.name}: interrupted at byte {size_of(path):,} of {size:,} ({error}); resuming from there")
            try:
                retry = retry.increment("GET", url, error=error)
            except MaxRetryError as last:
                raise UserError(_gave_up(url, path, last)) from last
            retry.sleep()
    _validator_file(path).unlink(missing_ok=True)


def _gave_up(url: str, path: Path, error: Exception) -> str:
    return (
        f"{url} cannot be fetched ({error}): check --url and the network; "
        f"the same command resumes from byte {size_of(path):,}"
    )


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def _validator_file(path: Path) -> Path:
    """Return the path of a file with the ETag or date by which the server can tell whether its file is unchanged."""
    return path.with_name(f"{path.name}.validator")


def _transfer(session: requests.Session, url: str, path: Path, size: int) -> None:
    """Make one request and append what it returns.

    Raises:
      urllib3.exceptions.HTTPError: the connection was lost; what was received before is kept.
      UserError: the server does not have the file, or has a different one.
    """
    done, validator = size_of(path), _validator_file(path)
    headers = {"Accept-Encoding": "identity"}
    if done and validator.exists():
        headers |= {"Range": f"bytes={done}-", "If-Range": validator.read_text()}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status, received = response.status_code, response.headers
        resumes = status == 206 and received.get("Content-Range", "").startswith(f"bytes {done}-")
        if status != 200 and not resumes:
            if "Range" not in headers or status not in (206, 416):
                raise UserError(f"{url}: the server answered {status} {response.reason}; give another --url")
            path.unlink()  # the server cannot resume from here
            return
        total = received.get("Content-Range", "").rpartition("/")[2] if resumes else received.get("Content-Length", "")
        if total.isdigit() and int(total) != size:
            raise UserError(f"{url} has {int(total):,} bytes, not {size:,}: it is a different file; give another --url")
        with path.open("ab" if resumes else "wb") as file:
            if not resumes:
                _keep_validator(validator, received)
                done = 0
            lines = Progress(path.stem, size, done)
            with progress.bar(path.stem, size, unit="B", done=done) as show:
                for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                    done += len(chunk)
                    if done > size:
                        raise UserError(
                            f"{url} has more than {size:,} bytes: it is a different file; give another --url"
                        )
                    file.write(chunk)
                    show(done)
                    lines.show(done)
    if done < size:
        raise ProtocolError(f"the server stopped at {done:,} of {size:,} bytes")


def _keep_validator(validator: Path, headers: requests.structures.CaseInsensitiveDict) -> None:
    etag = headers.get("ETag", "")
    if etag.startswith("W/"):  # a weak one does not guarantee identical bytes, which joining parts requires
        etag = ""
    if strong := etag or headers.get("Last-Modified", ""):
        validator.write_text(strong)
    else:
        validator.unlink(missing_ok=True)
