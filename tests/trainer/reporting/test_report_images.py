"""The report shows image files that were scored, and no other file that a key could point to."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from trainer.reporting import report_images


def row(key: object, **more: object) -> dict[str, object]:
    return {"key": str(key), "found_as": "file", **more}


def test_an_image_file_is_shown_as_a_thumbnail(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "a.jpg")
    url = report_images.of_row(row(tmp_path / "a.jpg")).url
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/png"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 160)


@pytest.mark.parametrize("more", [{"found_as": "record"}, {"found_as": "member"}, {"found_as": "record", "label": "7"}])
def test_a_key_of_a_record_is_never_opened(tmp_path: Path, more: dict[str, object]) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "private.png")
    assert report_images.of_row(row(tmp_path / "private.png", **more)).url == ""
    assert report_images.of_row({"key": str(tmp_path / "private.png"), "label": "7"}).url == ""


def test_what_is_not_an_image_or_not_there_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "folder.png").mkdir()
    names = ["passwd", "cut.png", "folder.png", "none.png", "x" * 300, "nul\0.png"]
    for key in [*(tmp_path / name for name in names), "s3://bucket/1.png", "foo://1.png", "/dev/zero"]:
        assert report_images.of_row(row(key)).url == ""
