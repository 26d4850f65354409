"""A bucket in memory, for tests of gs:// paths."""

import socket
from collections.abc import Iterator

import pytest
from google.cloud import storage

BUCKET = "my-bucket"


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
