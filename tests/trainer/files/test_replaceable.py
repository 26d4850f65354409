"""Options that write an image replace images only."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.cli import UserError
from trainer.files.replaceable import check_header, check_replaceable


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_an_image_or_nothing_may_be_replaced(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "drawn.anything"
    check_replaceable(str(path), "--draw")
    Image.new("RGB", (3, 2)).save(path, file_format)
    check_replaceable(str(path), "--draw")


def link(path: Path) -> None:
    Image.new("RGB", (3, 2)).save(path.with_name("elsewhere.png"))
    path.symlink_to("elsewhere.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("file,label\n1.png,1\n"), "not a PNG or JPEG"),
        (lambda path: path.write_bytes(b""), "not a PNG or JPEG"),
        (lambda path: path.mkdir(), "a folder"),
        (link, "a link"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "drawn.png"
    make(path)
    with pytest.raises(UserError, match=message) as error:
        check_replaceable(str(path), "--draw")
    assert str(error.value).startswith(f"--draw {path}: ")
    assert "\n" not in str(error.value)
    assert path.is_symlink() or path.exists()


@given(header=st.binary(max_size=8))
def test_only_signatures_of_images_pass(header: bytes) -> None:
    if header[:3] not in (b"\x89PN", b"\xff\xd8\xff"):
        with pytest.raises(UserError):
            check_header(header, "x", "--draw")
