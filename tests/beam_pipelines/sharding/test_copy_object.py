"""Objects of buckets are copied by clients that are kept."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import storage

from beam_pipelines.inputs import images
from beam_pipelines.sharding import copy_object
from beam_pipelines.sharding.shards import Reject
from tests.beam_pipelines.conftest import BUCKET

CONTENTS = {f"folder/{i} ü?.png": os.urandom(1000 * i) for i in range(8)} | {"folder/large": os.urandom(9_000_000)}


def copied(path: str) -> bytes:
    file = io.BytesIO()
    copy_object.copy(path, file)
    return file.getvalue()


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Note each call of a method."""
    calls, method = [], getattr(owner, name)

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(name)
        return method(*args, **options)

    monkeypatch.setattr(owner, name, noted)
    return calls


def test_s3_has_one_client_for_all_objects_and_threads(s3_client: Any, monkeypatch: pytest.MonkeyPatch):
    from boto3 import Session

    for name, content in CONTENTS.items():
        s3_client.put_object(Bucket="mine", Key=name, Body=content)
    calls = counted(monkeypatch, Session, "client")
    with ThreadPoolExecutor(4) as pool:
        paths = [f"s3://mine/{name}" for name in CONTENTS]
        assert list(pool.map(copied, paths * 3)) == list(CONTENTS.values()) * 3
    assert len(calls) <= 4  # the first ones of each thread may come at once


def test_google_has_one_client_per_thread(bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch):
    from apache_beam.io.gcp.gcsio import GcsIO

    for name, content in CONTENTS.items():
        bucket.blob(name).upload_from_string(content)
    calls = counted(monkeypatch, GcsIO, "__init__")
    with ThreadPoolExecutor(4) as pool:
        paths = [f"gs://{BUCKET}/{name}" for name in CONTENTS]
        assert list(pool.map(copied, paths * 3)) == list(CONTENTS.values()) * 3
    assert len(calls) <= 4


def test_a_missing_object_is_rejected_by_name(bucket: storage.Bucket, s3_client: Any):
    FileSystems.set_options(PipelineOptions([]))  # as Beam does in a pipeline
    for path in (f"gs://{BUCKET}/none.png", "s3://mine/none.png"):
        with pytest.raises(Reject, match=r"none\.png") as caught, images.opened(path):
            pass
        assert caught.value.reason == "missing-picture"
