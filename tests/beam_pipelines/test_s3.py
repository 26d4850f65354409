"""Input from s3://, in a bucket that moto keeps in memory."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines import draw, inspect, prepare
from trainer.data.formats.dataset_info import INFO_FILE
from trainer.files import first_contact


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a server with an empty bucket, s3://mine, that this process sees."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0
    )
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    made = boto3.client("s3")
    made.create_bucket(Bucket="mine")
    yield made
    server.stop()


@pytest.mark.parametrize(
    ("key", "url", "says"), [("", "s3://mine/x", "Unable to locate credentials"), ("k", "s3://yours/x", "NoSuchBucket")]
)
def test_what_cannot_be_listed_is_one_line(
    client: Any,
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


def test_images_and_datasets_are_read_from_s3(client: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw.main(["--count", "6", "--seed", "3", "--output", str(tmp_path / "drawn")]) == 0
    upload(client, tmp_path / "drawn", "photos")
    args = ["--format", "csv", "--num-shards", "2", "--input", "s3://mine/photos/labels.csv"]
    assert prepare.main([*args, "--output", str(tmp_path / "out")]) == 0
    info = json.loads((tmp_path / "out" / INFO_FILE).read_text())
    assert info["records_in"] == info["splits"]["train"]["records"] == 6
    upload(client, tmp_path / "out", "data")
    assert inspect.main(["s3://mine/data", "--verify"]) == 0
    assert "s3://mine/data is intact" in capsys.readouterr().out
    assert prepare.main([*args[:-1], "s3://nobody/labels.csv", "--output", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("listens", [True, False])
def test_a_server_that_does_not_answer_is_one_line(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    monkeypatch.setattr(first_contact, "SECONDS", 0.5)
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
