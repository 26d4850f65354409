import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from beam_pipelines.inputs import images
from beam_pipelines.sharding.shards import Reject


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int) -> None:
    upright = Image.new("RGB", (4, 2))
    upright.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    loaded = images.load(encoded(stored, "PNG", exif=exif)).image
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(upright))


def test_colours_survive_cmyk_and_half_transparent_ones_mix_with_white() -> None:
    red = Image.new("RGB", (8, 8), (200, 10, 30))
    for file_format in ("JPEG", "TIFF"):
        loaded = images.load(encoded(red.convert("CMYK"), file_format)).image
        np.testing.assert_allclose(np.asarray(loaded)[0, 0], (200, 10, 30), atol=4)
    for data in (
        encoded(Image.new("RGBA", (8, 8), (200, 10, 30, 128)), "WEBP", lossless=True),
        encoded(red.quantize(), "PNG", transparency=b"\x80"),
    ):
        np.testing.assert_allclose(np.asarray(images.load(data).image)[0, 0], (227, 132, 142), atol=2)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_a_colour_that_stands_for_transparent_becomes_white_and_only_that(mode: str) -> None:
    key: int | tuple[int, ...]
    if mode == "I;16":
        image, key = Image.fromarray(np.array([[100 * 257, 30 * 257]], np.uint16)), 100 * 257
    else:
        image = Image.fromarray(np.array([[100, 30]], np.uint8)).convert(mode)
        key = (100, 100, 100) if mode == "RGB" else 100
    loaded = images.load(encoded(image, "PNG", transparency=key)).image
    np.testing.assert_array_equal(np.asarray(loaded)[0], [[255] * 3, [30] * 3])


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.full((8, 8), 0.5, np.float32)),
        Image.fromarray(np.full((8, 8), 200, np.int32)),
    ],
)
def test_pixels_that_cannot_be_shown_for_certain_are_rejected_by_name(image: Image.Image) -> None:
    with pytest.raises(Reject, match="undecodable"):
        images.load(encoded(image, "TIFF"))


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
        image = images.load(bytes(damaged))
    except Reject:
        return
    if image.file_type:
        decoded = tf.io.decode_image(bytes(damaged), channels=3)
        assert decoded.shape == (image.image.height, image.image.width, 3)


@pytest.mark.parametrize("factor", [100, 1.001])  # Pillow only warns of images up to twice as large as the limit
def test_decompression_bombs_are_rejected_by_name(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    width, height = Image.open(io.BytesIO(PNG)).size
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(width * height / factor))
    with pytest.raises(Reject) as rejected:
        images.load(PNG)
    assert rejected.value.reason == "too-large"
