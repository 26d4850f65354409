import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines import images
from beam_pipelines.shards import Reject


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "JPEG", exif=exif, quality=95)
    turned = images.load(data)
    assert turned.image.size == (20, 40)
    assert turned.file_type is None
    assert images.load(encoded(image, "JPEG")).file_type == "jpeg"
    assert images.load(encoded(image, "PNG")).file_type == "png"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb_of_the_same_look(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 200 * 257, np.uint16))
    else:
        image = Image.new("RGB", (8, 8), (200, 200, 200) if mode != "1" else (255, 255, 255))
        image = image.quantize() if mode == "P" else image.convert(mode)
    loaded = images.load(encoded(image, "TIFF" if mode == "CMYK" else "PNG")).image
    assert loaded.mode == "RGB"
    np.testing.assert_allclose(np.asarray(loaded), 255 if mode == "1" else 200, atol=3)


def test_transparent_parts_are_white() -> None:
    data = encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")
    assert np.asarray(images.load(data).image).min() == 255


NOISE = Image.effect_noise((32, 32), 80).convert("RGB")
PNG, JPEG = encoded(NOISE, "PNG"), encoded(NOISE, "JPEG")
PNG_TAIL = 32  # bytes without which all pixels are still there


@given(st.integers(0, len(PNG) - PNG_TAIL))
def test_truncated_files_are_rejected_by_name(length: int) -> None:
    with pytest.raises(Reject) as rejected:
        images.load(PNG[:length])
    assert rejected.value.reason == "undecodable"


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([PNG, JPEG]), st.data())
def test_tensorflow_decodes_every_file_that_is_kept_as_it_is(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file[: data.draw(st.integers(1, len(file)))])
    # Most damage shows at once; the last bytes are where the two libraries differ.
    spot = data.draw(
        st.one_of(st.integers(0, len(damaged) - 1), st.integers(max(0, len(damaged) - 30), len(damaged) - 1))
    )
    damaged[spot] ^= 1 << data.draw(st.integers(0, 7))
    try:
        picture = images.load(bytes(damaged))
    except Reject:
        return
    if picture.file_type:
        decoded = tf.io.decode_image(bytes(damaged), channels=3)
        assert decoded.shape == (picture.image.height, picture.image.width, 3)


def test_decompression_bombs_are_rejected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Reject) as rejected:
        images.load(PNG)
    assert rejected.value.reason == "too-large"
