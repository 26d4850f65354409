import io
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer.config.model import Model
from trainer.config.schema import Distortion
from trainer.data.pipeline import augment, color_jitter, preprocess

NONE = Distortion(colour=False, rotate_degrees=0, shear=0, scale=(1, 1), stretch=0, shift=0, perspective=0, noise=0)


def some_images(count: int = 4) -> tf.Tensor:
    rng = np.random.default_rng(0)
    smooth = [Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8)).resize((48, 32)) for _ in range(count)]
    return tf.constant(np.stack([np.asarray(image) for image in smooth]))


def test_the_same_seed_distorts_alike_and_another_does_not() -> None:
    first = augment.distort(some_images(), Distortion(), seed=tf.constant([1, 2]))
    np.testing.assert_array_equal(first, augment.distort(some_images(), Distortion(), seed=tf.constant([1, 2])))
    other = augment.distort(some_images(), Distortion(), seed=tf.constant([1, 3]))
    assert np.abs(first - other).mean() > 1
    assert first.shape == (4, 32, 48, 3)
    assert 0 <= np.min(first) <= np.max(first) <= 255


def test_no_distortion_changes_nothing() -> None:
    images = some_images()
    np.testing.assert_allclose(augment.distort(images, NONE, seed=tf.constant([1, 2])), images, atol=0.01)


def test_colour_distortion_is_tensorflows_own_in_one_of_the_two_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """With each range shrunk to one value, the outcome must be that of tf.image's operations."""
    monkeypatch.setattr(color_jitter, "SATURATION_RANGE", (1.4, 1.4))
    monkeypatch.setattr(color_jitter, "CONTRAST_RANGE", (0.7, 0.7))
    monkeypatch.setattr(color_jitter, "BRIGHTNESS_DELTA", 0.0)
    monkeypatch.setattr(color_jitter, "HUE_DELTA", 0.0)
    images = tf.cast(some_images(16), tf.float32) / 255.0
    steps = {
        "brightness": lambda x: x,
        "hue": lambda x: x,
        "saturation": lambda x: tf.image.adjust_saturation(x, 1.4),
        "contrast": lambda x: tf.image.adjust_contrast(x, 0.7),
    }
    wanted = []
    for order in color_jitter.ORDERS:
        image = images
        for name in order:
            image = steps[name](image)
        wanted.append(tf.clip_by_value(image, 0, 1).numpy())
    distorted = augment.distort_colour(images, seed=tf.constant([3, 4])).numpy()
    nearest = [min(range(2), key=lambda k: np.abs(distorted[i] - wanted[k][i]).max()) for i in range(16)]
    for i, k in enumerate(nearest):
        np.testing.assert_allclose(distorted[i], wanted[k][i], atol=2e-3)
    assert set(nearest) == {0, 1}


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF"])
def test_files_are_decoded_and_fitted(file_format: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (70, 30), (200, 30, 30)).save(buffer, file_format)
    out = preprocess.decode_and_fit(tf.constant([buffer.getvalue()]), Model(image_height=16, image_width=32))
    assert out.shape == (1, 16, 32, 3)
    assert out.dtype == tf.uint8
    np.testing.assert_allclose(out[0, 8, 16], (200, 30, 30), atol=6)


def test_normalising_spans_minus_one_to_one() -> None:
    np.testing.assert_allclose(preprocess.normalise(tf.constant([0, 255], tf.uint8)), [-1, 1])


def test_a_climb_moves_columns_up_and_down_and_nothing_sideways() -> None:
    images = np.zeros((32, 33, 48, 3), np.uint8)
    images[:, 16] = 255  # a level line
    distorted = augment.distort(images, replace(NONE, climb=0.3), seed=tf.constant([1, 2])).numpy()[..., 0]
    heights = distorted.argmax(axis=1)  # [image, column]
    rises = (heights[:, -1] - heights[:, 0]) / 47
    assert np.abs(rises).max() <= 0.3 + 1 / 47
    assert rises.min() < -0.1
    assert rises.max() > 0.1
    middle = (heights[:, 23] + heights[:, 24]) / 2
    np.testing.assert_allclose(middle, 16, atol=1)


def test_a_share_of_the_images_becomes_negatives() -> None:
    images = some_images(64).numpy()
    distorted = augment.distort(images, replace(NONE, invert=0.25), seed=tf.constant([1, 2])).numpy()
    kept = np.isclose(distorted, images, atol=0.01).all(axis=(1, 2, 3))
    np.testing.assert_allclose(distorted[~kept], 255.0 - images[~kept], atol=0.01)
    assert 4 <= (~kept).sum() <= 30


def test_a_share_of_the_images_loses_detail_but_not_light() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 48, 3), np.uint8)  # all detail
    distorted = augment.distort(images, replace(NONE, coarsen=0.5), seed=tf.constant([1, 2])).numpy()
    kept = np.isclose(distorted, images, atol=0.01).all(axis=(1, 2, 3))
    assert 16 <= (~kept).sum() <= 48
    assert (distorted[~kept].std(axis=(1, 2)) < 0.8 * images[~kept].std(axis=(1, 2))).all()
    np.testing.assert_allclose(distorted.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=8)
