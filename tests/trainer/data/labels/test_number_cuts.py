"""Numbers that are cut out of the images of a list."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.cli import UserError
from trainer.data.labels import finetuning_list, labelled_folder, number_cuts, upright_cut
from trainer.data.labels.box_corners import Corners
from trainer.vocab import DIGITS

COLOURS = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0))  # of the quarters, clockwise from the top left


def quarters(size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size)
    width, height = size
    for place, colour in zip(((0, 0), (1, 0), (1, 1), (0, 1)), COLOURS, strict=True):
        x, y = place[0] * width // 2, place[1] * height // 2
        image.paste(colour, (x, y, x + width // 2, y + height // 2))
    return image


@pytest.mark.parametrize("angle", [0, 20, -35, 90, 180])
@pytest.mark.parametrize("most", [60, 400])
def test_a_turned_region_is_cut_upright(angle: float, most: int) -> None:
    """Paste four coloured quarters, turned, into a grey image; cut with their corners, they are upright again."""
    size, canvas = (120, 60), Image.new("RGB", (300, 280), (128, 128, 128))
    turned = quarters(size).convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
    canvas.paste(turned, (70, 60), turned)
    radians = np.radians(angle)
    rotation = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    points = np.array([(-60, -30), (60, -30), (60, 30), (-60, 30)]) @ rotation.T + np.array(turned.size) / 2 + (70, 60)
    corners: Corners = tuple(points.ravel().tolist())
    cut = upright_cut.cut(canvas, corners, most=most)
    assert max(cut.size) == min(most, 120)
    assert cut.width == pytest.approx(2 * cut.height, abs=1)
    for (x, y), colour in zip(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)), COLOURS, strict=True):
        found = np.asarray(cut)[int(y * cut.height), int(x * cut.width)]
        assert np.abs(found.astype(int) - colour).max() < 40
    wide = upright_cut.widened(corners, 0.5)
    assert upright_cut.cut(canvas, wide, most=400).size == (180, 120)


def test_beyond_the_border_the_nearest_pixel_is_repeated() -> None:
    image = Image.new("RGB", (40, 30), (10, 200, 30))
    for box in ((-50, -40, 90, 70), (30, 20, 300, 25), (100, 100, 120, 110)):
        left, top, right, bottom = map(float, box)
        cut = upright_cut.cut(image, (left, top, right, top, right, bottom, left, bottom), most=64)
        assert {colour for _, colour in cut.getcolors() or []} == {(10, 200, 30)}


def folder_of(tmp_path: Path, rows: list[str], header: str = "file,label,left,top,width,height") -> str:
    (tmp_path / "images").mkdir(exist_ok=True)
    for number in range(12):
        quarters((200, 100)).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return str(tmp_path)


def test_each_number_with_a_box_is_an_image_of_its_own_and_the_others_are_left_out(tmp_path: Path) -> None:
    rows = [f"{number}.png,{number},20,10,60,30" for number in range(9)]
    rows += ["0.png,77,100,50,60,30", "9.png,88,0,0,50,40", "10.png,,,,,", "11.png,5,,,,"]
    listed = finetuning_list.read(folder_of(tmp_path, rows), DIGITS)
    assert (len(listed.files), listed.left_out, listed.has_boxes) == (11, 2, True)
    assert len({file.split for file in listed.files if file.path.endswith("/0.png")}) == 1
    cut = listed.cut(str(tmp_path / "cut"))
    assert sorted(file.texts[0] for file in cut.files) == sorted(file.texts[0] for file in listed.files)
    first = Image.open(cut.files[0].path)
    assert first.size == (60 + 2 * 9, 30 + 2 * 9)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").iterdir()}
    assert listed.cut(str(tmp_path / "cut")) == cut
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").iterdir()} == written


def test_images_that_cannot_be_read_and_boxes_elsewhere_are_left_out(tmp_path: Path) -> None:
    rows = [f"{number}.png,{number},20,10,60,30" for number in range(10)]
    rows += ["10.png,7,900,900,20,20", "11.png,8,1e9,0,20,20"]
    listed = finetuning_list.read(folder_of(tmp_path, rows), DIGITS)
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    assert len(number_cuts.write(listed.files, str(tmp_path / "cut"))) == 9
    with pytest.raises(UserError, match="9 images"):
        listed.cut(str(tmp_path / "cut"))


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["0.png,1,a,2,3,4"], "file,label,left,top,width,height", "line 2: left,top,width,height are a,2,3,4"),
        (["0.png,1,2,3"], "file,label,left,top", "width,height missing"),
    ],
)
def test_damaged_boxes_are_one_line(tmp_path: Path, rows: list[str], header: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labelled_folder.read(folder_of(tmp_path, rows, header), DIGITS)
