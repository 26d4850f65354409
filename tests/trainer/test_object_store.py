"""A work folder in a bucket, through TensorFlow's gs:// file system."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server
from PIL import Image

from tests.conftest import ROOT, assert_no_chatter
from tests.forking import Commands
from tests.trainer import gcs_proxy
from trainer.cluster.local import free_ports

BUCKET = "my-bucket"
WORKDIR = f"gs://{BUCKET}/runs/first"

Run = Callable[..., str]


@pytest.fixture
def emulator() -> Iterator[str]:
    """Serve an empty gs://my-bucket; yield the address, `host:port`."""
    (port,) = free_ports(1)
    with create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def run_there(commands: Commands, emulator: str, tmp_path: Path) -> Iterator[Run]:
    """Run a command that sees the bucket; return what it printed."""
    with gcs_proxy.serve(f"http://{emulator}", tmp_path) as environment:

        def run(module: str, *arguments: str) -> str:
            ended = commands(module, *arguments, cwd=ROOT, env=environment, timeout=300)
            assert ended.status == 0, ended.err
            assert_no_chatter(ended.out + ended.err, module)
            return ended.out + ended.err

        yield run


def stored(emulator: str) -> list[str]:
    """Return the names of all objects in the bucket."""
    connection = http.client.HTTPConnection(emulator)
    connection.request("GET", f"/storage/v1/b/{BUCKET}/o")
    listing = json.loads(connection.getresponse().read())
    connection.close()
    assert "nextPageToken" not in listing
    return [item["name"] for item in listing["items"]]


def store(emulator: str, name: str, content: bytes) -> None:
    """Put an object into the bucket."""
    connection = http.client.HTTPConnection(emulator)
    connection.request("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", body=content)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.slow
def test_a_run_in_a_bucket_goes_on_and_is_exported_there(
    run_there: Run, emulator: str, tiny_dataset: Path, tmp_path: Path
) -> None:
    train = ("trainer.train", "--experiment", "smoke", "--data", str(tiny_dataset), "--workdir", WORKDIR, "--set")
    settings = ("data.holdout=0.2", "train.checkpoint_every=5")
    said = run_there(*train, *settings, "train.steps=5")
    assert f"saved {WORKDIR}/checkpoints/ckpt-5" in said
    said = run_there(*train, *settings, "train.steps=10")
    assert f"from {WORKDIR}/checkpoints/ckpt-5" in said
    assert "done at step 10" in said
    export = ("trainer.export", "--workdir", WORKDIR, "--output", f"gs://{BUCKET}/export")
    for more in ("--tflite", "--half"):  # the second over the first
        assert f"as gs://{BUCKET}/export" in run_there(*export, more)
    names = stored(emulator)
    assert "export/saved_model.pb" in names
    assert not [name for name in names if ".tmp-" in name]
    assert "export/assets.extra/model.tflite" not in names  # which the second does not have
    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30)).save(image)
    store(emulator, "image.png", image.read_bytes())
    said = run_there("trainer.predict", "--model", f"gs://{BUCKET}/export", str(image), f"gs://{BUCKET}/image.png")
    assert said.count("No.") == 2
