"""Input from and output to gs://, in a bucket that an emulator keeps in memory."""

import json
from pathlib import Path

import pytest
from google.cloud import storage
from PIL import Image

from beam_pipelines import prepare, synthesize
from beam_pipelines.dataset import tfds_metadata, writer
from beam_pipelines.sharding import outputs
from beam_pipelines.sharding.outputs import MARKER_FILE
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.dataset.test_datasets import files
from trainer.data.formats.dataset_info import COMPLETED_FILE, INFO_FILE, REJECTS_FILE

SYNTHESIZE = ["--count", "12", "--seed", "3", "--num-shards", "3"]
OUTPUT = f"gs://{BUCKET}/data/out"


def stored(bucket: storage.Bucket, prefix: str = "data/out/") -> dict[str, bytes]:
    return {blob.name.removeprefix(prefix): blob.download_as_bytes() for blob in bucket.list_blobs(prefix=prefix)}


def shards_of(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in objects.items() if ".tfrecord-" in name}


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Write the same numbers to a local folder."""
    assert synthesize.main([*SYNTHESIZE, "--output", str(tmp_path / "local")]) == 0
    return tmp_path / "local"


def test_a_bucket_gets_the_bytes_that_a_folder_gets(
    bucket: storage.Bucket, local: Path, capsys: pytest.CaptureFixture
) -> None:
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 0
    first = stored(bucket)
    assert shards_of(first) == files(local)
    assert first.keys() - files(local).keys() == {
        COMPLETED_FILE,
        INFO_FILE,
        REJECTS_FILE,
        MARKER_FILE,
        *tfds_metadata.FILES,
    }
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert synthesize.main([*SYNTHESIZE, "--count", "5", "--output", OUTPUT]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert stored(bucket) == first
    assert synthesize.main([*SYNTHESIZE, "--count", "5", "--num-shards", "1", "--output", OUTPUT, "--overwrite"]) == 0
    replaced = stored(bucket)
    assert list(shards_of(replaced)) == ["train.tfrecord-00000-of-00001"]
    assert json.loads(replaced[INFO_FILE])["records_in"] == 5


def test_what_a_killed_run_left_in_a_bucket_is_replaced(bucket: storage.Bucket, local: Path) -> None:
    left = ["train.tfrecord-00000-of-00003", "train.tfrecord-00007-of-00009", f"{INFO_FILE}.tmp-{'0' * 32}"]
    for name in left:
        bucket.blob(f"data/out/{name}").upload_from_string(b"half")
    # Without the marker, which a run writes first, they are somebody's.
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 2
    assert sorted(stored(bucket)) == sorted(left)
    outputs.mark(OUTPUT, writer.KIND, left[:2])
    bucket.blob("data/outlook/train.tfrecord-0").upload_from_string(b"of another dataset")
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT]) == 0
    assert shards_of(stored(bucket)) == files(local)
    assert stored(bucket, "data/outlook/") == {"train.tfrecord-0": b"of another dataset"}


def test_other_files_in_a_bucket_are_left_alone(bucket: storage.Bucket, capsys: pytest.CaptureFixture) -> None:
    bucket.blob("data/out/thesis.txt").upload_from_string(b"years of work")
    assert synthesize.main([*SYNTHESIZE, "--output", OUTPUT, "--overwrite"]) == 2
    assert "thesis.txt, which this program did not write" in capsys.readouterr().err
    assert stored(bucket) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("folder", ["mine", "mine/images"])
def test_images_are_read_from_a_bucket(bucket: storage.Bucket, folder: str, tmp_path: Path) -> None:
    images = tmp_path / folder
    images.mkdir(parents=True)
    for i in range(6):
        Image.new("RGB", (20 + i, 30), (i, 2 * i, 3 * i)).save(images / f"{i}.png")
    rows = [f"{i}.png,{i if i else 'no number'}" for i in range(7)]
    (tmp_path / "mine" / "labels.csv").write_text("\n".join(["file,label", *rows]))
    for path in (tmp_path / "mine").rglob("*.*"):
        bucket.blob(str(path.relative_to(tmp_path))).upload_from_filename(path)
    args = ["--format", "csv", "--num-shards", "2"]
    assert prepare.main([*args, "--input", str(tmp_path / "mine"), "--output", str(tmp_path / "out")]) == 0
    assert prepare.main([*args, "--input", f"gs://{BUCKET}/mine", "--output", OUTPUT]) == 0
    assert shards_of(stored(bucket)) == files(tmp_path / "out")
    rejects = [json.loads(line)["reason"] for line in stored(bucket)[REJECTS_FILE].decode().splitlines()]
    assert rejects == ["label", "missing-picture"]


def test_nothing_is_left_in_a_bucket_where_all_was_rejected(
    bucket: storage.Bucket, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "labels.csv").write_text("file,label\nnone.png,1\n")
    assert prepare.main(["--format", "csv", "--input", str(tmp_path), "--output", OUTPUT]) == 2
    assert "all 1 images were rejected" in capsys.readouterr().err
    assert not stored(bucket)
