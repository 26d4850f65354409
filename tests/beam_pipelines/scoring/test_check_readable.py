"""A scorer whose --input names nothing readable says so in one line; one with something to read counts its rejects."""

import os
from pathlib import Path

import pytest
from google.cloud import storage
from PIL import Image

from beam_pipelines.scoring.check_readable import check_readable
from tests.beam_pipelines import finding
from tests.beam_pipelines.conftest import BUCKET
from tests.beam_pipelines.inputs.test_images import encoded
from trainer.cli import UserError
from trainer.data.images.model_input import ModelInput

PNG = encoded(Image.new("RGB", (20, 10), "red"), "PNG")


def check(*inputs: object) -> None:
    check_readable(finding.find(map(str, inputs)), ModelInput(8, 8))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder with three files that are not images."""
    for name, data in {"text": b"I am not an image", "empty.png": b"", "cut.png": PNG[: len(PNG) // 2]}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", ["text", "empty.png", "cut.png", "link", "dangling", "./text"])
def test_a_named_file_that_is_not_an_image_is_an_error(bad: Path, name: str) -> None:
    (bad / "link").symlink_to("text")
    (bad / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"^--input {bad}/{os.path.basename(name)} cannot be read \(.*; give images"):
        check(f"{bad}/{name}")


def test_named_files_none_of_which_is_an_image_are_an_error(bad: Path) -> None:
    with pytest.raises(UserError, match=r"^none of the 2 images .*; the first is .*empty.png: undecodable"):
        check(bad / "text", bad / "empty.png")


def test_one_image_among_the_named_files_is_enough(bad: Path) -> None:
    (bad / "one.png").write_bytes(PNG)
    check(bad / "text", bad / "empty.png", bad / "one.png")


def test_rejects_in_folders_patterns_and_lists_are_only_counted(bad: Path) -> None:
    (bad / "list.txt").write_text(f"{bad}/text\n")
    check(bad)
    check(f"{bad}/*.png")
    check(f"{bad}/te?t")
    check(bad / "list.txt")
    check(bad / "text", f"{bad}/e*.png")


def test_a_named_object_that_is_not_an_image_is_an_error(bucket: storage.Bucket) -> None:
    bucket.blob("photos/1.png").upload_from_string(b"I am not an image")
    check(f"gs://{BUCKET}/photos")
    with pytest.raises(UserError, match=r"^--input gs://.*/1.png cannot be read \(undecodable\)"):
        check(f"gs://{BUCKET}/photos/1.png")
