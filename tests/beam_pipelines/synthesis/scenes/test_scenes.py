"""Scenes: a function of (seed, index), with corners around every number and around nothing else."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from beam_pipelines.synthesis import camera, fonts, glyphs, surfaces, texts
from beam_pipelines.synthesis.scenes import backdrop, cutouts, distractors, lettering, scene
from beam_pipelines.synthesis.scenes.scene import Scene, Scenes
from tests.conftest import ROOT
from trainer.data.formats.records import Number
from trainer.data.labels import box_corners
from trainer.vocab import DIGITS

UNIFORM = texts.from_options("uniform", "uniform", max_digits=5, alphabet=DIGITS)
SIZE = 96
GROUND, INK = (120, 120, 120), (255, 0, 255)


def scenes(seed: int = 1, *, empty: float = 0.25, size: int = SIZE) -> Scenes:
    return Scenes(seed, UNIFORM, size, empty)


def checksum(made: Scene) -> str:
    content = made.image.tobytes() + repr((made.image.size, made.numbers)).encode()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes of one number in one colour on a plain ground, as if photographed perfectly."""
    monkeypatch.setattr(backdrop, "draw", lambda rng, photos, size: Image.new("RGB", (size, size), GROUND))
    monkeypatch.setattr(surfaces, "plate", lambda *_: None)
    monkeypatch.setattr(surfaces, "tiles", lambda *_: None)
    monkeypatch.setattr(camera, "photograph", lambda rng, canvas: canvas)
    monkeypatch.setattr(lettering, "_worn", lambda rng, mask: mask)
    monkeypatch.setattr(fonts, "paint", lambda rng, canvas, mask, ink: canvas.paste(INK, mask=mask))
    monkeypatch.setattr(fonts, "light", lambda canvas, mask: None)
    monkeypatch.setattr(lettering, "surroundings", lambda *_: ("", ""))
    monkeypatch.setattr(scene, "NUMBERS", ((1, 1.0),))
    monkeypatch.setattr(scene, "DISTRACTORS", ((0, 1.0),))


def corners_in(image: Image.Image, number: Number) -> np.ndarray:
    return np.array(number.points) * image.size


def painted(image: Image.Image) -> np.ndarray:
    """Where an image differs clearly from the plain ground, bool [height, width]."""
    return np.abs(np.asarray(image, int) - GROUND).sum(axis=2) > 100


def around(image: Image.Image, corners: np.ndarray, margin: float) -> np.ndarray:
    """Where the area between corners, moved away from their centre by some pixels, covers an image."""
    mask = Image.new("L", image.size)
    away = corners - corners.mean(axis=0)
    moved = corners + away / np.linalg.norm(away, axis=1, keepdims=True) * margin
    ImageDraw.Draw(mask).polygon([tuple(point) for point in moved], fill=255)
    return np.asarray(mask) > 0


def test_a_scene_is_the_same_whatever_was_made_before_and_in_another_process() -> None:
    make = scenes(7)
    forward = [checksum(make(i)) for i in range(8)]
    assert forward == [checksum(make(i)) for i in reversed(range(8))][::-1]
    assert forward[5] == checksum(scenes(7)(5))
    assert len(set(forward)) == 8
    assert forward[0] != checksum(scenes(8)(0))
    script = (
        "from tests.beam_pipelines.synthesis.scenes.test_scenes import checksum, scenes\n"
        "print(*(checksum(scenes(7)(i)) for i in (5, 2)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [forward[5], forward[2]]


def test_the_longer_side_is_the_size_or_less_and_the_largest_number_comes_first() -> None:
    for index in range(40):
        made = scenes(3, size=128)(index)
        assert max(made.image.size) <= 128
        areas = [abs(box_corners.area(number.corners)) for number in made.numbers]
        assert areas == sorted(areas, reverse=True)
        assert len(made.numbers) <= 4
        assert all(1 <= len(number.text) <= 5 and set(number.text) <= set(DIGITS) for number in made.numbers)


def test_the_corners_lie_around_what_was_painted(plain: None) -> None:
    with_number = 0
    for index in range(60):
        made = scenes(11, empty=0.0, size=160)(index)
        changed = painted(made.image)
        assert changed.any() == bool(made.numbers)
        for number in made.numbers:
            corners = corners_in(made.image, number)
            assert not changed[~around(made.image, corners, 3)].any(), index
            # Tight, too: the number reaches close to each side of its box.
            rows, columns = np.nonzero(changed)
            spots = np.stack([columns + 0.5, rows + 0.5], axis=1)
            for i in range(4):
                one, other = corners[i], corners[(i + 1) % 4]
                side, away = other - one, spots - one
                distance = np.abs(side[0] * away[:, 1] - side[1] * away[:, 0]) / np.linalg.norm(side)
                assert distance.min() <= 3, (index, i)
            with_number += 1
    assert with_number >= 50


def rectified(image: Image.Image, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The area between corners, as someone sees it to whom the number stands upright."""
    from_image = np.array([*glyphs.projective(corners, size), 1.0]).reshape(3, 3)
    to_image = np.linalg.inv(from_image)
    coefficients = (to_image / to_image[2, 2]).ravel()[:8]
    upright = image.transform(size, Image.Transform.PERSPECTIVE, tuple(coefficients), Image.Resampling.BILINEAR)
    return np.asarray(upright, float).ravel()


def test_turned_and_stacked_numbers_occur_and_their_first_corner_is_the_top_left() -> None:
    rng = np.random.default_rng(4)
    stacked = {-90: 0, 90: 0, 0: 0}
    for _ in range(400):
        text, layer = lettering.number(rng, UNIFORM, 90.0, beside=0.2, stacked=0.25, turned=0.1)
        _, tops, _, bottoms = zip(*layer.plane.boxes, strict=True)
        box = lettering._ink_box(layer.plane)
        size = max(8, round(box[2] - box[0])), max(8, round(box[3] - box[1]))
        upright = np.asarray(layer.plane.mask.resize(size, Image.Resampling.BILINEAR, box=box), float).ravel()
        seen = layer.seen.project(layer.plane.mask)
        matches = [
            np.corrcoef(upright, rectified(seen, np.roll(layer.corners, -shift, axis=0), size))[0, 1]
            for shift in range(4)
        ]
        assert matches[0] > 0.8, text
        assert matches[0] >= max(matches) - 0.05, text  # 8, 0 and 1 may look the same upside down
        top = layer.corners[1] - layer.corners[0]
        angle = np.degrees(np.arctan2(top[1], top[0]))
        kind = 0 if abs(angle) < 60 else 90 if angle > 0 else -90
        if kind:
            assert abs(abs(angle) - 90) < 45
            stacked[kind] += 1
        elif len(text) > 1 and bottoms[0] <= tops[-1]:
            stacked[0] += 1
    assert min(stacked.values()) >= 4, stacked


def directions(made: Scene) -> list[float]:
    """The angle of each number in degrees, clockwise."""
    corners = [corners_in(made.image, number) for number in made.numbers]
    return [float(np.degrees(np.arctan2(*(one[1] - one[0])[::-1]))) for one in corners]


@pytest.mark.parametrize("pasted", [False, True], ids=["drawn", "pasted"])
def test_as_many_numbers_are_turned_as_asked_for(pasted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "REAL", float(pasted))
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), GROUND).save(buffer, "PNG")
    photo = cutouts.Photo(buffer.getvalue(), (Number("4", (0.4, 0.3, 0.6, 0.3, 0.6, 0.7, 0.4, 0.7)),), ())
    monkeypatch.setattr(cutouts, "load", lambda paths, limit: (photo,))
    monkeypatch.setattr(scene, "WHOLE_PHOTOS", 0.0)
    for turned, low, high in ((0.0, 0, 45), (1.0, 45, 135)):  # also in scenes that are turned whole
        make = Scenes(8, UNIFORM, 192, 0.0, stacked=0.0, turned=turned)
        angles = [abs(angle) for i in range(30) for angle in directions(make(i))]
        assert len(angles) >= 30
        assert all(low <= angle <= high for angle in angles)


def test_a_scene_held_sideways_is_the_scene_turned(plain: None) -> None:
    for index in range(12):
        upright = Scenes(9, UNIFORM, 160, 0.0, turned=0.0)(index)
        image, numbers = scene._sideways(upright.image, list(upright.numbers), clockwise=index % 2 == 0)
        assert image.size == upright.image.size[::-1]
        size = (24, 24)
        for before, after in zip(upright.numbers, numbers, strict=True):
            assert after.text == before.text
            seen = [
                rectified(made, corners_in(made, number), size)
                for made, number in ((upright.image, before), (image, after))
            ]
            assert np.corrcoef(seen[0], seen[1])[0, 1] > 0.9


def test_empty_is_the_share_of_scenes_without_a_number() -> None:
    assert not any(scenes(5, empty=1.0)(i).numbers for i in range(30))
    counts = [len(scenes(5, empty=0.0)(i).numbers) for i in range(60)]
    assert counts.count(0) <= 1
    assert max(counts) >= 2
    half = [bool(scenes(5, empty=0.5)(i).numbers) for i in range(60)]
    assert 18 <= sum(half) <= 42


def test_what_distracts_has_no_label(plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "DISTRACTORS", ((6, 1.0),))
    for index in range(20):
        made = scenes(6, empty=1.0)(index)
        assert made.numbers == ()
    assert any(painted(scenes(6, empty=1.0)(index).image).any() for index in range(20))


def test_words_have_no_digits() -> None:
    rng = np.random.default_rng(0)
    assert not any(set(distractors.text(rng)) & set(DIGITS) for _ in range(300))


@pytest.mark.parametrize(
    "kind", [distractors.shape, lambda rng, canvas, places: distractors.piece(rng, canvas, places, ())]
)
def test_shapes_and_pieces_stay_in_the_place_they_take(kind: Callable) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        canvas = Image.new("RGB", (90, 60), GROUND)
        places = scene.Places(canvas.size)
        kind(rng, canvas, places)
        changed = np.asarray(canvas) != np.array(GROUND)
        for left, top, right, bottom in places.taken:
            changed[top:bottom, left:right] = False
        assert not changed.any()


def test_places_never_overlap() -> None:
    rng = np.random.default_rng(2)
    places = scene.Places((100, 80))
    for _ in range(60):
        width, height = rng.integers(5, 40, 2).tolist()
        places.take(rng, (width, height))
    assert len(places.taken) > 5
    covered = np.zeros((80, 100), int)
    for left, top, right, bottom in places.taken:
        assert 0 <= left < right <= 100
        assert 0 <= top < bottom <= 80
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    assert places.take(rng, (100, 10)) is None


def test_a_worker_with_other_typefaces_fails() -> None:
    with pytest.raises(RuntimeError, match="other typefaces"):
        Scenes(3, UNIFORM, SIZE, 0.0, faces="of another machine")(0)
