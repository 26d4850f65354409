"""A store that does not exist, is not installed or denies access is one line in every command, before any work."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import storage

from beam_pipelines.sharding import places
from tests.http_server import QuietHandler, running
from trainer.cli import UserError

COMMANDS = {
    "beam_pipelines.score": ["--input", "{input}", "--output", "{output}", "--model", "{model}"],
    "beam_pipelines.prepare": ["--format", "csv", "--input", "{input}", "--output", "{output}"],
    "beam_pipelines.synthesize": ["--count", "3", "--output", "{output}", "--source", "crops", "--records", "{input}"],
    "beam_pipelines.inspect": ["{input}", "--sheet", "{output}"],
    "beam_pipelines.download": ["--output", "{output}"],
    "beam_pipelines.draw": ["--count", "3", "--output", "{output}"],
    "trainer.train": ["--data", "{input}", "--workdir", "{output}", "--init-from", "{model}"],
    "trainer.evaluate": ["--data", "{input}", "--workdir", "{output}"],
    "trainer.export": ["--workdir", "{input}", "--output", "{output}"],
    "trainer.predict": ["{input}", "--model", "{model}", "--draw", "{output}"],
    "trainer.report": ["--workdir", "{input}", "--output", "{output}"],
    "trainer.search": ["--data", "{input}", "--workdir", "{output}"],
}
PLACES = {
    name: sorted({p for p in ("input", "output", "model") if f"{{{p}}}" in args}) for name, args in COMMANDS.items()
}


@pytest.fixture
def _no_stores_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, (extra, _) in places.EXTRAS.items():
        if scheme != "gs":
            monkeypatch.setitem(places.EXTRAS, scheme, (extra, "no.such.module"))


@pytest.mark.usefixtures("_no_stores_installed")
@pytest.mark.parametrize("url", ["s3://bucket/x", "az://account/x", "https://host/x", "hdfs://host/x", "nope://x"])
@pytest.mark.parametrize(("command", "place"), [(c, p) for c, places in PLACES.items() for p in places])
def test_a_store_that_is_not_known_is_named(
    command: str, place: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "model": "released", place: url}
    main = importlib.import_module(command).main
    assert main([arg.format(**given) for arg in COMMANDS[command]]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f" {url}: " in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["gs://no-such-bucket", "gs://no-such-bucket/deep/x"])
@pytest.mark.parametrize(
    ("command", "place"), [(c, p) for c, places in PLACES.items() for p in places if c.startswith("beam")]
)
def test_a_bucket_that_does_not_exist_is_named(
    bucket: storage.Bucket, command: str, place: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "model": "released", place: url}
    main = importlib.import_module(command).main
    assert main([arg.format(**given) for arg in COMMANDS[command]]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert url in error
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_no_stores_installed")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s3://b/x", r"pip install 'apache-beam\[aws\]'"),
        ("az://b/x", r"azfs:// \(pip install 'apache-beam\[azure\]'\)"),
        ("azfs://b/x", r"pip install 'apache-beam\[azure\]'"),
        ("hdfs://b/x", r"pip install 'apache-beam\[hadoop\]'"),
        ("https://b/x", "is not supported"),
    ],
)
def test_it_is_said_what_to_install(path: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        places.check("--input", path)


def test_gs_without_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(places.EXTRAS, "gs", ("gcp", "no.such.module"))
    with pytest.raises(UserError, match=r"apache-beam\[gcp\]"):
        places.check("--input", "gs://bucket/x")


def test_local_places_are_not_looked_at() -> None:
    before = set(sys.modules)
    for path in ("x", "/x/y", "a:b", "C:\\x", "//x"):
        places.check("--input", path)
    assert "boto3" not in set(sys.modules) - before


class _Private(QuietHandler):
    """A private bucket, and where a service account gets its token."""

    def do_POST(self) -> None:
        self._answer(200, {"access_token": "mine", "expires_in": 3600, "token_type": "Bearer"})

    def do_GET(self) -> None:
        if self.headers.get("Authorization") == "Bearer mine":
            self._answer(200, {"items": []})
        else:
            self._answer(401, {"error": {"code": 401, "message": "Anonymous caller does not have access"}})

    def _answer(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A private bucket, gs://private; yield the port of its server."""
    with running(_Private) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield port


def test_a_private_bucket_is_listed_with_the_credentials_that_there_are(
    private: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "me@here", "token_uri": f"http://127.0.0.1:{private}/token"}
    (tmp_path / "key.json").write_text(json.dumps({**account, "private_key": key.decode()}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    places.check("--input", "gs://private/x")


def test_missing_credentials_are_named(private: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(UserError, match=r"cannot be listed: .*; check your credentials"):
        places.check("--input", "gs://private/x")
