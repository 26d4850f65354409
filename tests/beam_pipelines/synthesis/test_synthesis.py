"""All sources: an image is a function of (seed, index), whichever source draws it."""

import gzip
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines import draw as draw_command
from beam_pipelines import prepare, synthesize
from beam_pipelines.inputs.digit_struct import DigitBox, Entry
from beam_pipelines.synthesis import crops, glyphs, mnist, surfaces, texts, typefaces
from beam_pipelines.synthesis.crops import RecombinedDigits
from beam_pipelines.synthesis.fonts import Drawn, Fonts
from beam_pipelines.synthesis.mnist import Mnist
from tests.beam_pipelines.inputs.test_digit_struct import write as write_digit_struct
from trainer.data.formats import dataset_info
from trainer.vocab import DIGITS

UNIFORM = texts.from_options("uniform", "uniform", max_digits=5, alphabet=DIGITS)


def write_idx(path: Path, array: np.ndarray, magic: int) -> None:
    path.write_bytes(gzip.compress(struct.pack(f">{array.ndim + 1}I", magic, *array.shape) + array.tobytes()))


@pytest.fixture(scope="module")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty digits of each part; the image of digit d is of the grey 20 d, or 20 d + 5 in the test part."""
    folder = tmp_path_factory.mktemp("mnist")
    labels = np.arange(40, dtype=np.uint8) % 10
    for part, offset in (("train", 0), ("t10k", 5)):
        images = np.repeat(20 * labels + offset, 28 * 28).astype(np.uint8).reshape(40, 28, 28)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images, 2051)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels, 2049)
    return str(folder)


@pytest.fixture(scope="module")
def digit_records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of single drawn digits with boxes, prepared from SVHN format 1."""
    top = tmp_path_factory.mktemp("crops")
    (top / "svhn").mkdir()
    single = texts.from_options("uniform", "uniform", max_digits=1, alphabet=DIGITS)
    entries = []
    for i in range(80):
        drawn = Fonts(11, single)(i)
        left, upper, right, lower = drawn.char_boxes[0]
        drawn.image.save(top / "svhn" / f"{i}.png")
        entries.append(Entry(f"{i}.png", (DigitBox(int(drawn.text), left, upper, right - left, lower - upper),)))
    write_digit_struct(top / "svhn" / "digitStruct.mat", entries)
    args = ["--format", "digitstruct", "--input", str(top / "svhn"), "--output", str(top / "records")]
    assert prepare.main(args) == 0
    return str(top / "records")


@pytest.fixture(scope="module", params=["fonts", "mnist", "crops"])
def source(request: pytest.FixtureRequest, mnist_folder: str, digit_records: str) -> Callable:
    """Return the drawing function of a seed."""
    paths = tuple(dataset_info.shard_paths(digit_records, dataset_info.read_info(digit_records), "train"))
    makers: dict[str, Callable] = {
        "fonts": lambda seed: Fonts(seed, UNIFORM),
        "mnist": lambda seed: Mnist(seed, UNIFORM, mnist_folder, "train"),
        "crops": lambda seed: RecombinedDigits(seed, UNIFORM, paths, 1000),
    }
    return makers[request.param]


def assert_same(one: Drawn, other: Drawn) -> None:
    assert (one.text, one.char_boxes) == (other.text, other.char_boxes)
    assert one.image.tobytes() == other.image.tobytes()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 2**40))
def test_a_image_is_a_function_of_seed_and_index(source: Callable, seed: int, index: int) -> None:
    drawn = source(seed)(index)
    assert_same(drawn, source(seed)(index))
    assert 1 <= len(drawn.text) <= 5
    assert len(drawn.char_boxes) == len(drawn.text)
    for left, top, right, bottom in drawn.char_boxes:
        assert 0 <= left <= right <= drawn.image.width
        assert 0 <= top <= bottom <= drawn.image.height
    centres = [left + right for left, _, right, _ in drawn.char_boxes]
    assert centres == sorted(centres)


def test_images_differ(source: Callable) -> None:
    draw = source(1)
    assert len({draw(i).image.tobytes() for i in range(30)}) == 30 or isinstance(draw, Mnist)
    assert len({draw(i).text for i in range(30)}) > 20


def test_mnist_numbers_are_digits_side_by_side_and_blank_to_the_right(mnist_folder: str) -> None:
    for index in range(20):
        drawn = Mnist(0, UNIFORM, mnist_folder, "train")(index)
        assert drawn.image.size == (140, 28)
        columns = np.asarray(drawn.image)[14, 14::28, 0]
        assert [c // 20 for c in columns[: len(drawn.text)]] == [int(c) for c in drawn.text]
        assert not columns[len(drawn.text) :].any()
    held_out = np.asarray(Mnist(0, UNIFORM, mnist_folder, "t10k")(0).image)
    assert held_out[14, 14, 0] % 20 == 5


def test_there_are_many_typefaces_in_a_fixed_order() -> None:
    faces = typefaces.installed()
    assert len(faces) >= 50
    names = [path.rsplit("/", 1)[-1] for path in faces]
    assert names == sorted(names, key=lambda name: name.rsplit(".", 1)[0])


def test_a_text_is_drawn_in_a_typeface_that_has_its_characters() -> None:
    """Others draw the same box for each character that they lack, and what has no code, U+FFFF, is one of these."""
    faces = typefaces.that_have(frozenset("1é"))
    assert set(faces) < set(typefaces.installed())
    for path in typefaces.installed():
        font = typefaces.load(path, 40)
        drawn, box = font.getmask("é"), font.getmask("\uffff")
        assert (path in faces) != ((drawn.size, bytes(drawn)) == (box.size, bytes(box)))
    assert typefaces.that_have(frozenset("0123456789")) == typefaces.installed()


@pytest.mark.parametrize("options", [["--texts", "TEXTS"], ["--pattern", "[1漢]{3}"]])
@pytest.mark.parametrize("command", ["draw", "synthesize", "synthesize --source scenes"])
def test_characters_that_no_typeface_has_are_named(
    tmp_path: Path, command: str, options: list[str], capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "texts").write_text("12\n1漢3\n", encoding="utf-8")
    name, *words = command.split()
    words += [option.replace("TEXTS", str(tmp_path / "texts")) for option in options]
    assert {"draw": draw_command, "synthesize": synthesize}[name].main(
        [*words, "--count", "3", "--output", str(tmp_path / "out")]
    ) == 2
    assert r"no installed typeface has the characters '\u6f22'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_tenth_has_neighbours_and_the_others_are_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Fonts(2, UNIFORM)
    drawn = [draw(i) for i in range(200)]
    monkeypatch.setattr(surfaces, "neighbours", lambda *_: None)
    alone = [draw(i) for i in range(200)]
    assert [d.text for d in drawn] == [d.text for d in alone]
    differing = sum(one.image.tobytes() != other.image.tobytes() for one, other in zip(drawn, alone, strict=True))
    assert 5 <= differing <= 40


def test_what_stands_beside_a_number_has_no_boxes() -> None:
    alone = glyphs.typeset(np.random.default_rng(3), "257")
    beside = glyphs.typeset(np.random.default_rng(3), "257", before="No ", after=" Kam")
    assert len(beside.boxes) == len(alone.boxes) == 3
    widths = [[right - left for left, _, right, _ in plane.boxes] for plane in (alone, beside)]
    np.testing.assert_allclose(widths[0], widths[1])
    assert beside.boxes[0][0] > alone.boxes[0][0]
    assert beside.boxes[2][2] < beside.mask.width - glyphs.MARGIN


@pytest.mark.parametrize("text", ["7", "205", "10000"])
def test_stacked_characters_are_below_each_other_where_they_are_painted(text: str) -> None:
    for seed in range(10):
        plane = glyphs.stack(np.random.default_rng(seed), text)
        mask = np.asarray(plane.mask)
        assert len(plane.boxes) == len(text)
        for (_, _, _, bottom), (_, top, _, _) in itertools.pairwise(plane.boxes):
            assert bottom <= top
        rest = mask.copy()
        for left, top, right, bottom in plane.boxes:
            area = np.s_[int(top) : int(np.ceil(bottom)) + 1, int(left) : int(np.ceil(right)) + 1]
            assert mask[area].any()
            rest[area] = 0
        assert rest.sum() <= 0.01 * mask.sum()  # antialiased edges


def test_characters_stand_as_far_apart_as_asked_for_and_spaced_ones_at_equal_distances() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        plane = glyphs.typeset(rng, "1410", gaps=(0.5, 0.5), spaced=True)
        middles = [(left + right) / 2 for left, _, right, _ in plane.boxes]
        steps = np.diff(middles)
        np.testing.assert_allclose(steps, steps[0], atol=0.1)
        apart = [after[0] - before[2] for before, after in itertools.pairwise(plane.boxes)]
        assert min(apart) >= 0.5 * 24 - 0.1  # of the smallest font size
        assert plane.boxes[-1][2] < plane.mask.width


@pytest.mark.parametrize("lean", [-0.3, 0.3])
def test_a_leaning_stack_moves_to_one_side_within_its_plane(lean: float) -> None:
    for seed in range(10):
        plane = glyphs.stack(np.random.default_rng(seed), "888", lean=lean)
        first, _, last = ((left + right) / 2 for left, _, right, _ in plane.boxes)
        assert (last - first) * lean > 0
        assert abs(last - first) > 2 * 0.3 * 24 - 2 * 0.05 * 48
        assert all(left > 0 and right < plane.mask.width for left, _, right, _ in plane.boxes)


@pytest.mark.parametrize("stacked", [False, True])
def test_each_tile_covers_one_character_and_the_wall_is_seen_between(stacked: bool) -> None:
    size, wall, fill = (200, 200), (0, 0, 0), (250, 250, 250)
    boxes = [(20.0, 20.0, 40.0, 50.0), (20.0, 90.0, 30.0, 120.0)]
    if not stacked:
        boxes = [(top, left, bottom, right) for left, top, right, bottom in boxes]
    canvas = Image.new("RGB", size, wall)
    seen = glyphs.View(size, glyphs.projective(np.array([(0, 0), (200, 0), (200, 200), (0, 200)], float), size))
    surfaces.tiles(np.random.default_rng(0), canvas, seen, size, boxes, fill, fill)
    for left, top, right, bottom in boxes:
        assert canvas.getpixel((round((left + right) / 2), round((top + bottom) / 2))) == fill
    assert canvas.getpixel((30, 70) if stacked else (70, 30)) == wall
    assert canvas.getpixel((38, 105) if stacked else (105, 38)) == fill  # all tiles have the size of the largest


def test_a_plane_seen_from_afar_is_averaged_and_stays_in_its_place() -> None:
    quad = np.array([(1.0, 1.0), (31.0, 1.0), (31.0, 16.0), (1.0, 16.0)])
    plane = Image.new("L", (300, 150))
    plane.paste(255, (147, 0, 153, 150))  # 0.6 pixels wide as seen: without averages, most of it would be missed
    seen = glyphs.View((32, 17), glyphs.projective(quad, plane.size), averaged=7)
    rows = np.asarray(seen.project(plane), float)[3:14]
    assert (rows.sum(axis=1) > 100).all()
    np.testing.assert_allclose(rows @ (np.arange(32) + 0.5) / rows.sum(axis=1), 16, atol=0.3)


def test_points_of_a_plane_are_seen_where_its_mask_is_projected() -> None:
    quad = np.array([(3.0, 8.0), (70.0, 2.0), (75.0, 50.0), (8.0, 44.0)])
    seen = glyphs.View((80, 56), glyphs.projective(quad, (40, 20)))
    np.testing.assert_allclose(seen.to_image([(0, 0), (40, 0), (40, 20), (0, 20)]), quad, atol=1e-9)
    spot = Image.new("L", (40, 20))
    spot.paste(255, (29, 9, 32, 12))  # around (30.5, 10.5)
    rows, columns = np.nonzero(np.asarray(seen.project(spot)) > 128)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], seen.to_image([(30.5, 10.5)])[0], atol=0.6)


def test_a_worker_with_other_typefaces_fails() -> None:
    with pytest.raises(RuntimeError, match="other typefaces"):
        Fonts(3, UNIFORM, faces="of another machine")(0)


def test_another_alphabet_is_drawn() -> None:
    letters = texts.from_options("uniform", "uniform", max_digits=5, alphabet="AB")
    assert set(Fonts(3, letters)(0).text) <= set("AB")


def test_a_preview_is_written_instead_of_a_dataset(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert synthesize.main(["--count", "12", "--preview", str(sheet)]) == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [sheet]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", "mnist"], "needs --mnist DIR"),
        (["--source", "mnist", "--mnist", "nowhere"], "train-images-idx3-ubyte is missing"),
        (["--source", "mnist", "--mnist", "{mnist}", "--max-digits", "6"], "--max-digits up to 5"),
        (["--source", "crops"], "needs --records DIR"),
        (["--source", "crops", "--records", "nowhere"], "nowhere has no COMPLETED"),
        (["--source", "crops", "--records", "{tiny}", "--alphabet", "0123456789A"], "draws digits only"),
        (["--lengths", "nowhere.csv"], "neither a file nor a known distribution"),
        (["--source", "paint"], "invalid choice"),
        (["--split", "a:1,b:1"], "all go to one split"),
        ([], "--output is missing"),
    ],
)
def test_mistakes_end_in_one_line(
    args: list[str], message: str, mnist_folder: str, tiny_dataset: Path, capsys: pytest.CaptureFixture
) -> None:
    filled = [arg.format(mnist=mnist_folder, tiny=tiny_dataset) for arg in args]
    assert synthesize.main(["--count", "3", *filled]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_idx_file_is_refused(tmp_path: Path, mnist_folder: str) -> None:
    for path in Path(mnist_folder).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"no idx at all"))
    with pytest.raises(mnist.UserError, match="is not an idx file"):
        mnist.read(str(tmp_path), "train")


def test_records_without_digits_that_can_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(crops.UserError, match="no record has character boxes"):
        crops.load((), 10)
