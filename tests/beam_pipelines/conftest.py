"""Buckets in memory, for tests of gs:// and s3:// paths; models that are loaded once."""

import functools
import logging
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from beam_pipelines.sharding import store_clients
from trainer.inference.exports import exported_model
from trainer.inference.exports.exported_model import ExportedModel

BUCKET = "my-bucket"


@pytest.fixture(autouse=True, scope="session")
def _loaded_once() -> Iterator[None]:
    """Load a model again only if its files have changed: that takes most of the time of a test that scores."""
    load = exported_model.load

    @functools.lru_cache(maxsize=2)
    def loaded(folder: str, precision: str, state: tuple) -> ExportedModel:
        return load(folder, precision)

    def load_if_changed(folder: str, precision: str = "float32") -> ExportedModel:
        found = [(str(path), path.lstat()) for path in sorted(Path(folder).rglob("*"))]
        return loaded(
            folder, precision, tuple((path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found)
        )

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exported_model, "load", load_if_changed)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def _new_clients() -> None:
    """Forget the clients of the servers of other tests."""
    store_clients.forget()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    """An empty gs://my-bucket that this process sees."""
    from apache_beam.internal.gcp import auth
    from gcp_storage_emulator.server import create_server

    port = free_port()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    # Beam would look for credentials for 20 s, --no_auth or not.
    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    with create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET):
        yield storage.Client.create_anonymous_client().bucket(BUCKET)


@pytest.fixture
def s3_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a server with an empty bucket, s3://mine, that this process sees."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    made = boto3.client("s3")
    made.create_bucket(Bucket="mine")
    yield made
    server.stop()
