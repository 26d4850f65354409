"""Input from s3://, in a bucket that moto keeps in memory."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import draw, inspect, prepare, synthesize
from tests.http_server import QuietHandler, running
from trainer.data.formats.dataset_info import INFO_FILE
from trainer.files import first_contact


@pytest.mark.parametrize(
    ("key", "url", "says"), [("", "s3://mine/x", "Unable to locate credentials"), ("k", "s3://yours/x", "NoSuchBucket")]
)
def test_what_cannot_be_listed_is_one_line(
    s3_client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    url: str,
    says: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert prepare.main(["--format", "csv", "--input", url, "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert says in err


def upload(client: Any, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "mine", f"{prefix}/{path.relative_to(folder)}")


def test_images_and_datasets_are_read_from_s3(
    s3_client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw.main(["--count", "6", "--seed", "3", "--output", str(tmp_path / "drawn")]) == 0
    upload(s3_client, tmp_path / "drawn", "photos")
    args = ["--format", "csv", "--num-shards", "2", "--input", "s3://mine/photos/labels.csv"]
    assert prepare.main([*args, "--output", str(tmp_path / "out")]) == 0
    info = json.loads((tmp_path / "out" / INFO_FILE).read_text())
    assert info["records_in"] == info["splits"]["train"]["records"] == 6
    upload(s3_client, tmp_path / "out", "data")
    assert inspect.main(["s3://mine/data", "--verify"]) == 0
    assert "s3://mine/data is intact" in capsys.readouterr().out
    assert prepare.main([*args[:-1], "s3://nobody/labels.csv", "--output", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("listens", "seconds"), [(True, 0.5), (False, 0.5), (False, 9)])
def test_a_server_that_does_not_answer_is_one_line(
    listens: bool, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    monkeypatch.setattr(first_contact, "SECONDS", seconds)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen(8)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        args = ["--format", "csv", "--input", "s3://mine/x", "--output", str(tmp_path / "out")]
        assert prepare.main(args) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--input s3://mine/x cannot be reached (" in err


class _ReadOnly(QuietHandler):
    """An empty bucket that may be listed, but not written to."""

    def do_GET(self) -> None:
        self._answer(200, "<ListBucketResult><Name>mine</Name><KeyCount>0</KeyCount></ListBucketResult>")

    def do_HEAD(self) -> None:
        self._answer(404, "")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")

    def _answer(self, status: int, content: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())


def test_a_bucket_that_may_only_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with running(_ReadOnly) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        assert synthesize.main(["--count", "2", "--output", "s3://mine/out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "AccessDenied" in error
    assert "check the bucket's name, its permissions and your credentials" in error
