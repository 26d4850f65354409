import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines.inputs import images
from beam_pipelines.inputs.crops import CropPolicy
from beam_pipelines.sharding.shards import Reject
from trainer.data.formats.records import Box

PAPER, INK = (250, 250, 250), (10, 60, 110)
policies = st.sampled_from(["tight", "context", "whole"])
sides = st.integers(8, 120)


def crop(policy: str, **settings: object) -> CropPolicy:
    defaults = {"size": 64, "max_side": 10_000, "context": (0.0, 0.4), "seed": 1}
    return CropPolicy(**{"policy": policy, **defaults, **settings})  # type: ignore[arg-type]


@st.composite
def images_with_boxes(draw: st.DrawFn) -> tuple[Image.Image, Box]:
    """Draw an image with one painted box of whole pixels, at least 4 wide and high."""
    width, height = draw(sides), draw(sides)
    left, top = draw(st.integers(0, width - 4)), draw(st.integers(0, height - 4))
    right, bottom = draw(st.integers(left + 4, width)), draw(st.integers(top + 4, height))
    image = Image.new("RGB", (width, height), PAPER)
    image.paste(INK, (left, top, right, bottom))
    return image, (left, top, right, bottom)


def painted(image: Image.Image) -> Box:
    rows, columns = np.nonzero(np.asarray(image)[..., 0] < (PAPER[0] + INK[0]) / 2)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@settings(deadline=None)
@given(images_with_boxes(), st.sampled_from(["context", "whole"]), st.text(max_size=5))
def test_the_box_is_exactly_where_the_number_is(pictured: tuple[Image.Image, Box], policy: str, key: str) -> None:
    image, box = pictured
    cut, area = crop(policy)(image, box, key)
    relative = images.relative(box, area)
    assert np.multiply(relative, cut.size * 2) == pytest.approx(painted(cut), abs=1e-6)


@settings(deadline=None)
@given(images_with_boxes(), policies, st.integers(24, 90))
def test_the_box_moves_with_the_number_when_it_is_resized(
    pictured: tuple[Image.Image, Box], policy: str, side: int
) -> None:
    image, box = pictured
    cut, area = crop(policy, size=side, max_side=side)(image, box, "key")
    assert policy != "tight" or cut.size == (side, side)
    assert policy == "tight" or max(cut.size) <= side
    edges = np.multiply(images.relative(box, area), cut.size * 2)
    assume(min(edges[2] - edges[0], edges[3] - edges[1]) >= 3)
    assert edges == pytest.approx(painted(cut), abs=1.01)


@settings(deadline=None)
@given(images_with_boxes(), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_context_keeps_to_its_margins_and_the_image(
    pictured: tuple[Image.Image, Box], smallest: float, more: float, seed: int
) -> None:
    image, box = pictured
    height = box[3] - box[1]
    policy = crop("context", context=(smallest, smallest + more), seed=seed)
    cut, area = policy(image, box, "key")
    bounds = (0, 0, image.width, image.height)
    for inner, outer, bound in zip(box, area, bounds, strict=True):
        margin = abs(inner - outer)
        assert margin <= (smallest + more) * height + 1
        assert margin >= min(smallest * height, abs(bound - inner)) - 1e-6
    assert cut.size == (area[2] - area[0], area[3] - area[1])
    assert policy(image, box, "key")[1] == area


def test_margins_differ_with_key_seed_and_side() -> None:
    image, box = Image.new("RGB", (600, 600)), (200, 200, 400, 400)
    areas = {crop("context", seed=seed)(image, box, key)[1] for seed in (1, 2) for key in ("a", "b")}
    assert len(areas) == 4
    assert len({abs(a - b) for a, b in zip(box, areas.pop(), strict=True)}) == 4


coordinates = st.floats(-50, 150)


@settings(deadline=None)
@given(policies, coordinates, coordinates, st.floats(0.1, 80), st.floats(0.1, 80))
def test_a_crop_lies_in_the_image_or_is_rejected(
    policy: str, left: float, top: float, width: float, height: float
) -> None:
    box = (left, top, left + width, top + height)
    image = Image.new("RGB", (100, 60))
    if min(box[2], 100) - max(left, 0) < 1 or min(box[3], 60) - max(top, 0) < 1:
        with pytest.raises(Reject, match="box-outside"):
            crop(policy)(image, box, "key")
        return
    _, area = crop(policy)(image, box, "key")
    assert 0 <= area[0] < area[2] <= 100
    assert 0 <= area[1] < area[3] <= 60
    relative = images.relative(box, area)
    assert 0 <= relative[0] < relative[2] <= 1
    assert 0 <= relative[1] < relative[3] <= 1


@settings(deadline=None)
@given(policies, st.sampled_from([0.0, -3.0, float("inf"), float("nan")]), st.integers(2, 3))
def test_boxes_without_a_size_are_rejected_by_name(policy: str, size: float, edge: int) -> None:
    box = [10.0, 10.0, 30.0, 30.0]
    box[edge] = box[edge - 2] + size
    with pytest.raises(Reject) as rejected:
        crop(policy)(Image.new("RGB", (60, 60)), (box[0], box[1], box[2], box[3]), "key")
    assert rejected.value.reason == "box-size"


def test_a_tight_crop_is_a_square_a_third_wider() -> None:
    image, box = Image.new("RGB", (100, 100)), (40.0, 40.0, 60.0, 50.0)
    cut, area = crop("tight")(image, box, "key")
    assert cut.size == (64, 64)
    assert area == (37, 32, 63, 58)
    assert images.relative(box, area) == pytest.approx((3 / 26, 8 / 26, 23 / 26, 18 / 26))


def test_without_a_box_only_the_whole_image_can_be_had() -> None:
    image = Image.new("RGB", (300, 100))
    assert crop("whole")(image, None, "key") == (image, (0, 0, 300, 100))
    assert crop("whole", max_side=30)(image, None, "key")[0].size == (30, 10)
    with pytest.raises(Reject) as rejected:
        crop("context")(image, None, "key")
    assert rejected.value.reason == "no-box"


def test_shrinking_averages_what_it_leaves_out() -> None:
    stripes = Image.fromarray(np.tile(np.array([[0], [255]], np.uint8), (200, 400))).convert("RGB")
    shrunk, _ = crop("whole", max_side=40)(stripes, None, "key")
    assert np.asarray(shrunk).std() < 20
