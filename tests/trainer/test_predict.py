"""`svhn predict` on a tiny model: a few images, in any format, and what cannot be read."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

from beam_pipelines import draw
from trainer import predict


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn numbers, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("photos")
    assert draw.main(["--count", "3", "--seed", "4", "--output", str(folder)]) == 0
    (folder / "images/~1.png").write_bytes(b"no image")
    return folder / "images"


def test_predict_gives_json_and_a_drawing(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    chosen = sorted(photos.glob("4-*.png"))[:2]
    args = ["--model", tiny_model, *chosen, "--format", "json", "--draw", tmp_path / "read.png", "--beam-width", 2]
    assert predict.main(list(map(str, args))) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["key"] for row in found] == list(map(str, chosen))
    assert all(len(row["candidates"]) == 2 and 0 < row["confidence"] < 1 for row in found)
    assert all(row["text"] == row["candidates"][0]["text"] for row in found)
    height, width, _ = tf.io.decode_png((tmp_path / "read.png").read_bytes()).shape
    assert height > 2 * 120
    assert width > 2 * 120


def test_predict_reads_images_as_people_see_them(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image = next(photos.glob("4-*.png"))
    upright = Image.open(image)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.webp", lossless=True)
    upright.save(tmp_path / "upright.tiff")
    kinds = [tmp_path / name for name in ("turned.png", "upright.webp", "upright.tiff")]
    args = ["--model", str(tiny_model), "--format", "json", str(image), *map(str, kinds)]
    assert predict.main(args) == 0
    wanted, *others = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for other in others:
        assert {**other, "key": ""} == {**wanted, "key": ""}


def test_predict_names_a_drawing_that_cannot_be_written(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    image = str(next(photos.glob("4-*.png")))
    assert predict.main(["--model", str(tiny_model), image, "--draw", str(tmp_path)]) == 2
    assert f"--draw {tmp_path}: this is a folder, which is not replaced" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["s3", "https", "no-such"])
def test_predict_reads_what_it_can_and_names_the_rest_at_the_end(
    photos: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture, scheme: str
) -> None:
    first, last = (str(path) for path in sorted(photos.glob("4-*.png"))[:2])
    unread = [f"{scheme}://bucket/1.png", str(photos / "~1.png"), str(tmp_path / "nowhere.png")]
    args = ["--model", str(tiny_model), "--format", "json", first, *unread, last]
    assert predict.main(args) == 2
    out, err = capsys.readouterr()
    assert [json.loads(line)["key"] for line in out.splitlines()] == [first, last]
    for line, path in zip(err.splitlines(), unread, strict=True):
        assert path in line


@pytest.mark.parametrize("kind", ["the same path", "a link in its folder"])
def test_a_drawing_does_not_replace_an_image_that_it_shows(
    photos: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    image = tmp_path / "mine" / "1.png"
    image.write_bytes(next(photos.glob("4-*.png")).read_bytes())
    before = image.read_bytes()
    drawn = image if kind == "the same path" else tmp_path / "link" / "1.png"
    assert predict.main([str(image), "--draw", str(drawn)]) == 2
    assert "would replace the image itself" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_another_name_of_a_former_drawing_keeps_its_content(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "image.png")
    Image.new("RGB", (50, 50), "red").save(tmp_path / "drawn.png")
    before = (tmp_path / "drawn.png").read_bytes()
    (tmp_path / "theirs.png").hardlink_to(tmp_path / "drawn.png")
    args = [str(tmp_path / "image.png"), "--model", str(tiny_model), "--draw", str(tmp_path / "drawn.png")]
    assert predict.main(args) == 0
    assert (tmp_path / "drawn.png").read_bytes() != before
    assert (tmp_path / "theirs.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3
