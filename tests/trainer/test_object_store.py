"""A work folder in a bucket, through TensorFlow's own gs://."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server
from PIL import Image

from tests.conftest import ROOT
from tests.trainer import gcs_proxy
from trainer.cluster.local import free_ports

BUCKET = "my-bucket"
WORKDIR = f"gs://{BUCKET}/runs/first"

Run = Callable[..., str]


@pytest.fixture
def run_there(tmp_path: Path) -> Iterator[Run]:
    """Runs a command that sees an empty gs://my-bucket, and returns what it logged."""
    (port,) = free_ports(1)
    with (
        create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET),
        gcs_proxy.serve(f"http://127.0.0.1:{port}", tmp_path) as environment,
    ):

        def run(module: str, *arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, *(() if module == "-c" else ("-m",)), module, *arguments],
                cwd=ROOT,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        yield run


@pytest.mark.slow
def test_a_run_in_a_bucket_goes_on_and_is_exported_there(run_there: Run, tiny_dataset: Path, tmp_path: Path) -> None:
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
    listing = (
        "import tensorflow as tf; print(*(p for p, _, names in tf.io.gfile.walk('gs://my-bucket') for _ in names))"
    )
    places = run_there("-c", listing)
    assert ".tmp-" not in places
    assert "export/assets.extra/model.tflite" not in places  # which the second does not have
    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30)).save(image)
    assert "No." in run_there("trainer.predict", "--model", f"gs://{BUCKET}/export", str(image))
