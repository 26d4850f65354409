"""Outputs in s3:// (moto) and azfs:// (Azurite, from npm): the same files as in a local folder, and the same rules."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from beam_pipelines import inspect, score, synthesize

AZURITE = shutil.which("azurite-blob")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's, published


class Bucket(NamedTuple):
    """An empty bucket of an emulated store.

    Attributes:
      url: of the bucket.
      put: write an object, given its name and content.
      get: return all objects by their names.
    """

    url: str
    put: Callable[[str, bytes], object]
    get: Callable[[], dict[str, bytes]]


@pytest.fixture(params=["s3", "azfs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    made: Bucket = request.getfixturevalue(f"{request.param}_bucket")
    return made


@pytest.fixture
def s3_bucket(s3_client: Any) -> Bucket:
    def get() -> dict[str, bytes]:
        names = [one["Key"] for one in s3_client.list_objects_v2(Bucket="mine").get("Contents", [])]
        return {name: s3_client.get_object(Bucket="mine", Key=name)["Body"].read() for name in names}

    return Bucket("s3://mine", lambda name, data: s3_client.put_object(Bucket="mine", Key=name, Body=data), get)


@pytest.fixture
def azfs_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    blob = pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")
    if AZURITE is None:
        pytest.skip("azurite-blob is not installed (npm install --global azurite)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--blobHost", "127.0.0.1", "--blobPort", port, "--location", str(tmp_path / "azurite")]
    with subprocess.Popen([AZURITE, *options, "--silent", "--skipApiVersionCheck"]) as server:
        try:
            wait_for(int(port))
            where = f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
            connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{where};"
            monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
            client = blob.BlobServiceClient.from_connection_string(connection).create_container("mine")

            def get() -> dict[str, bytes]:
                return {one.name: client.download_blob(one.name).readall() for one in client.list_blobs()}

            yield Bucket(f"azfs://{ACCOUNT}/mine", client.upload_blob, get)
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def drawn(output: str, *further: str, count: int = 12) -> int:
    return synthesize.main(["--count", str(count), "--seed", "3", "--num-shards", "2", "--output", output, *further])


def below(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)).replace(os.sep, "/"): path.read_bytes() for path in paths}


def shards(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a dataset that do not say when and where they were written."""
    return {
        name.removeprefix("out/"): data for name, data in files.items() if not name.endswith("out/dataset_info.json")
    }


def test_an_output_is_as_in_a_folder(bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(f"{bucket.url}/out") == drawn(str(tmp_path / "out")) == 0
    local = {f"out/{name}": data for name, data in below(tmp_path / "out").items()}
    before = bucket.get()
    assert before["out/COMPLETED"] == b""
    assert before.keys() == local.keys()
    assert shards(before) == shards(local)
    assert inspect.main([f"{bucket.url}/out", "--verify"]) == 0
    capsys.readouterr()
    assert drawn(f"{bucket.url}/out") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert drawn(f"{bucket.url}/out", count=13) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert bucket.get() == before
    assert drawn(f"{bucket.url}/out", "--overwrite", count=13) == 0
    assert len(bucket.get()) == len(before)
    assert inspect.main([f"{bucket.url}/out", "--verify"]) == 0


def test_what_others_wrote_stays(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    bucket.put("out/thesis.txt", b"mine")
    assert drawn(f"{bucket.url}/out", "--overwrite") == 2
    assert "holds thesis.txt, which this program did not write" in capsys.readouterr().err
    assert bucket.get() == {"out/thesis.txt": b"mine"}


def test_partitions_complete_an_output(bucket: Bucket, tmp_path: Path) -> None:
    assert drawn(f"{bucket.url}/out", "--partition", "0/2") == 0
    assert "out/COMPLETED" not in bucket.get()
    assert drawn(f"{bucket.url}/out", "--partition", "1/2") == 0
    assert drawn(str(tmp_path / "out")) == 0
    assert shards(bucket.get()) == shards({f"out/{name}": data for name, data in below(tmp_path / "out").items()})


@pytest.mark.slow
def test_images_are_scored_from_the_store_into_it(bucket: Bucket, tmp_path: Path) -> None:
    assert drawn(f"{bucket.url}/out") == 0
    args = ["--model", "released-fast", "--input", f"{bucket.url}/out", "--output"]
    assert score.main([*args, f"{bucket.url}/read.csv"]) == 0
    rows = bucket.get()["read.csv"].decode().splitlines()
    assert len(rows) == 13
    assert {"read.parts/_COMPLETED", "read.parts/_images.arrow"} <= bucket.get().keys()


def test_a_missing_bucket_is_one_line(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    url = bucket.url.replace("mine", "nobody")
    assert drawn(f"{url}/out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: --output {url}/out cannot be listed: ")
