import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.config.model import Model
from trainer.config.schema import Distortion
from trainer.data.pipeline import augment, preprocess

FINDER = Model(name="finder", image_height=64, image_width=96, widths=(4,) * 5, strides=(2,) * 5, blocks=(0,) * 4)


@pytest.mark.parametrize(
    ("size", "inside"), [((96, 64), (96, 64)), ((200, 50), (96, 24)), ((30, 60), (32, 64)), ((500, 1), (96, 1))]
)
def test_the_aspect_ratio_is_kept_and_the_rest_is_padded(size: tuple[int, int], inside: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(buffer, "PNG")
    out = preprocess.decode_and_fit(tf.constant([buffer.getvalue()]), FINDER)[0].numpy()
    assert out.shape == (64, 96, 3)
    width, height = inside
    np.testing.assert_allclose(out[:height, :width], np.broadcast_to([200, 10, 10], (height, width, 3)), atol=2)
    assert (out[height:] == preprocess.PADDING).all()
    assert (out[:, width:] == preprocess.PADDING).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_size_is_read_without_decoding(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (31, 517)).save(buffer, kind)
    rows, columns = preprocess.size_of(tf.constant(buffer.getvalue()))
    assert (int(rows), int(columns)) == (517, 31)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), x=st.integers(30, 65), y=st.integers(25, 38))
def test_points_move_as_the_pixels_do(seed: int, x: int, y: int) -> None:
    """A dot is found where `move` says that it goes, unless that is outside."""
    image = np.zeros((1, 64, 96, 3), np.uint8)
    image[0, y - 2 : y + 3, x - 2 : x + 3] = 255
    config = Distortion(rotate_degrees=20, shear=0.2, scale=(0.8, 1.3), shift=0.15, colour=False, noise=0)
    key = tf.constant([1, seed])
    moved = augment.move(tf.constant([[[x + 0.5, y + 0.5]]]), 64, 96, config, seed=key)[0, 0].numpy()
    if not (6 < moved[0] < 90 and 6 < moved[1] < 58):
        return
    light = augment.distort(tf.constant(image), config, seed=key)[0, ..., 0].numpy()
    rows, columns = np.indices(light.shape) + 0.5
    found = [(light * axis).sum() / light.sum() for axis in (columns, rows)]
    np.testing.assert_allclose(found, moved, atol=0.35)
