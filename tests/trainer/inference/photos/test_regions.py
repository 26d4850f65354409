import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from trainer.inference.photos import regions


def picture() -> Image.Image:
    """A card with four differently coloured quarters."""
    card = Image.new("RGB", (80, 40))
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, 39, 19), fill=(250, 0, 0))
    pen.rectangle((40, 0, 79, 19), fill=(0, 250, 0))
    pen.rectangle((40, 20, 79, 39), fill=(0, 0, 250))
    pen.rectangle((0, 20, 39, 39), fill=(250, 250, 0))
    return card


@pytest.mark.parametrize("degrees", [0, 30, 90, -90, 180])
def test_a_turned_card_is_cut_out_upright(degrees: int) -> None:
    canvas = Image.new("RGB", (200, 160), (90, 90, 90))
    turned = picture().rotate(-degrees, expand=True, resample=Image.Resampling.BILINEAR, fillcolor=(90, 90, 90))
    canvas.paste(turned, (100 - turned.width // 2, 80 - turned.height // 2))
    angle = math.radians(degrees)
    points = np.array([(-40, -20), (40, -20), (40, 20), (-40, 20)]) @ np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    points += np.array([100, 80])
    cut = regions.cut(
        tf.constant(np.asarray(canvas)), tf.constant(points.reshape(1, 8), tf.float32), tf.constant([1]), 20, 40
    )
    assert cut.shape == (1, 20, 40, 3)
    inner = np.asarray(cut[0], int)
    small = np.asarray(picture().resize((40, 20), Image.Resampling.BOX), int)
    for rows in (slice(2, 8), slice(12, 18)):
        for columns in (slice(3, 17), slice(23, 37)):
            np.testing.assert_allclose(inner[rows, columns], small[rows, columns], atol=14)


def test_beyond_the_image_its_edge_is_repeated() -> None:
    image = tf.constant(np.full((30, 30, 3), 120, np.uint8))
    cut = regions.cut(image, tf.constant([[-20.0, -20, 50, -20, 50, 50, -20, 50]]), tf.constant([1]), 16, 16)
    np.testing.assert_allclose(cut, np.full((1, 16, 16, 3), 120), atol=1e-3)


def test_no_region_is_no_error() -> None:
    assert regions.cut(tf.zeros([9, 9, 3], tf.uint8), tf.zeros([0, 8]), tf.zeros([0], tf.int32), 4, 8).shape == (
        0,
        4,
        8,
        3,
    )


def test_margins_are_as_wide_as_the_characters_ask_for() -> None:
    wide, tall = regions.widened(
        tf.constant([[0.0, 0, 100, 0, 100, 20, 0, 20], [0.0, 0, 20, 0, 20, 100, 0, 100]]), (0.5, 0.2)
    ).numpy()
    np.testing.assert_allclose(wide, [-10, -4, 110, -4, 110, 24, -10, 24], atol=1e-4)
    np.testing.assert_allclose(tall, [-10, -4, 30, -4, 30, 104, -10, 104], atol=1e-4)


def column(shades: list[int]) -> Image.Image:
    """A grey image with bands of these shades below each other, 20 x 30 pixels each, from (40, 10) on."""
    canvas = Image.new("RGB", (120, 200), (90, 90, 90))
    pen = ImageDraw.Draw(canvas)
    for i, shade in enumerate(shades):
        pen.rectangle((40, 10 + 30 * i, 59, 39 + 30 * i), fill=(shade,) * 3)
    return canvas


@pytest.mark.parametrize("count", [2, 3, 5])
def test_stacked_characters_come_to_lie_side_by_side(count: int) -> None:
    shades = [20, 220, 60, 180, 120][:count]
    bottom = 10.0 + 30 * count
    corners = tf.constant([[40.0, 10, 60, 10, 60, bottom, 40, bottom]])
    cut = regions.cut(tf.constant(np.asarray(column(shades))), corners, tf.constant([count]), 56, 96)
    assert cut.shape == (1, 56, 96, 3)
    middles = [round(float(cut[0, 28, round((i + 0.5) * (96 // count)), 0])) for i in range(count)]
    assert middles == shades


def test_margins_of_stacked_characters_are_left_and_right_of_each_and_around_all() -> None:
    corners = tf.constant([[40.0, 10, 60, 10, 60, 100, 40, 100], [0.0, 50, 90, 50, 90, 70, 0, 70]])
    for x, y in regions.STACK_MARGINS:
        column_of_3, _ = regions.column(corners, 3, (x, y)).numpy()
        left, top, right, bottom = 40 - 20 * x, 10 - 30 * y, 60 + 20 * x, 100 + 30 * y
        np.testing.assert_allclose(column_of_3, [left, top, right, top, right, bottom, left, bottom], atol=1e-4)


def test_only_tall_regions_may_hold_stacked_characters() -> None:
    sizes = [(100, 20), (20, 29), (20, 40), (20, 80), (20, 122), (20, 150), (20, 260)]
    corners = tf.constant([[0.0, 0, w, 0, w, h, 0, h] for w, h in sizes])
    may = {count: regions.may_stack(corners, count).numpy().tolist() for count in (2, 3, 4, 5)}
    assert may == {
        2: [False, False, False, True, False, False, False],
        3: [False, False, False, True, True, True, False],
        4: [False, False, False, False, True, True, False],
        5: [False, False, False, False, True, True, False],
    }
