"""A bucket in memory, for tests of gs:// paths; models that are loaded once."""

import functools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import storage

from trainer.inference.exports import exported_model
from trainer.inference.exports.exported_model import ExportedModel

BUCKET = "my-bucket"


@pytest.fixture(autouse=True, scope="session")
def _loaded_once() -> Iterator[None]:
    """Load a model again only if its files have changed: that takes most of the time of a test that scores."""
    load = exported_model.load

    @functools.lru_cache(maxsize=2)
    def loaded(folder: str, state: tuple) -> ExportedModel:
        return load(folder)

    def load_if_changed(folder: str) -> ExportedModel:
        found = [(str(path), path.lstat()) for path in sorted(Path(folder).rglob("*"))]
        return loaded(folder, tuple((path, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in found))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exported_model, "load", load_if_changed)
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
