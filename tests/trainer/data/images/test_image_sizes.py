"""Large images: limits, shrinking while decoding, and the memory of many threads."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from tests.trainer.data.images.test_image_io import KINDS, NOISE, RNG, SMOOTH, encoded, png_chunk, reject
from trainer.data.images import image_io, image_kinds, megapixels, model_input
from trainer.data.images.memory_budget import MemoryBudget
from trainer.data.images.model_input import ModelInput


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0"))
        + png_chunk(b"IEND", b"")
    )


@pytest.fixture
def limit() -> Iterator[Callable[[float], None]]:
    yield image_kinds.limit_megapixels
    image_kinds.limit_megapixels(megapixels.DEFAULT_MEGAPIXELS)


def test_more_pixels_than_allowed_are_rejected_before_any_is_decoded(limit: Callable[[float], None]) -> None:
    for size in ((12_000, 12_000), (40_000, 40_000), (2**31 - 1, 1)):
        error = reject(png_header(*size))
        assert error.reason == "too-large"
        assert "--max-megapixels" in error.detail
    data = encoded(Image.new("RGB", (1200, 1000)), "PNG")
    limit(1.1)
    assert reject(data).reason == "too-large"
    limit(1.2)
    assert image_io.load(data).image.size == (1200, 1000)
    limit(1000)
    assert reject(png_header(12_000, 12_000)).reason == "undecodable"


def test_images_without_pixels_are_rejected_by_name() -> None:
    for size in ((0, 5), (5, 0)):
        assert reject(png_header(*size)).reason == "undecodable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_images_are_shrunk_for_a_model_and_look_the_same(kind: str, orientation: int) -> None:
    made = Image.Exif()
    made[0x0112] = orientation
    large = SMOOTH.resize((1803, 1202), Image.Resampling.BICUBIC)
    data = encoded(large, kind, exif=made, **KINDS[kind])
    whole = image_io.load(data).image
    for size in ((10, 40), (40, 10), (60, 96)):
        reserved: list[int] = []
        kept = image_io.for_model(io.BytesIO(data), ModelInput(*size), reserved.append).image
        assert 0.8 < 3 * kept.width * kept.height / reserved[0] < 1.25  # how a PNG is turned is read after its pixels
        assert len(reserved) == 1
        assert 3 * kept.width * kept.height <= 3 * (2 * model_input.ROOM) ** 2 * size[0] * size[1]
        assert kept.width >= min(whole.width, model_input.ROOM * size[1])
        assert kept.height >= min(whole.height, model_input.ROOM * size[0])
        fitted = [image.resize(size[::-1], Image.Resampling.BILINEAR) for image in (kept, whole)]
        assert np.abs(np.asarray(fitted[0], int) - np.asarray(fitted[1], int)).mean() < 2


@pytest.mark.parametrize("size", [(1600, 1200), (3000, 400), (400, 3000), (100, 80)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_what_is_letterboxed_keeps_its_aspect_ratio(size: tuple[int, int], orientation: int) -> None:
    made = Image.Exif()
    made[0x0112] = orientation
    data = encoded(SMOOTH.resize(size), "JPEG", exif=made)
    shrunk = image_io.for_model(io.BytesIO(data), ModelInput(30, 40, letterboxed=True))
    across, down = shrunk.factors
    assert across == pytest.approx(down, rel=0.06)  # sides are whole pixels, the shorter one perhaps only 22
    kept, before = (max(width / 40, height / 30) for width, height in (shrunk.image.size, shrunk.original))
    assert min(model_input.LETTERBOXED_ROOM, before) <= kept + 0.1
    assert kept < 2 * model_input.LETTERBOXED_ROOM


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("size", [(3000, 1), (1, 3000)])
def test_a_strip_of_one_pixel_is_still_an_image(kind: str, size: tuple[int, int]) -> None:
    data = encoded(SMOOTH.resize(size), kind)
    assert min(image_io.for_model(io.BytesIO(data), ModelInput(30, 40, letterboxed=True)).image.size) == 1


@pytest.mark.parametrize("size", [(1600, 1200), (1601, 1203)])
@pytest.mark.parametrize("resolutions", [1, 2, 6])
def test_a_jpeg_2000_is_decoded_at_the_scale_that_it_has(
    resolutions: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(SMOOTH.resize(size), "JPEG2000", irreversible=True, num_resolutions=resolutions)
    decoded: list[tuple[int, int]] = []
    original = Jpeg2KImageFile.load

    def load(image: Jpeg2KImageFile) -> object:
        loaded = original(image)
        decoded.append(image.size)
        return loaded

    monkeypatch.setattr(Jpeg2KImageFile, "load", load)
    shrunk = image_io.for_model(io.BytesIO(data), ModelInput(20, 20))
    assert shrunk.original == size
    if resolutions == 6:
        assert decoded[0][0] <= size[0] // 2 + 1
    fitted = [np.asarray(image.resize((40, 30)), int) for image in (shrunk.image, image_io.load(data).image)]
    assert np.abs(fitted[0] - fitted[1]).mean() < 2


def test_small_images_stay_as_they_are() -> None:
    for kind in ("JPEG", "PNG"):
        data = encoded(NOISE, kind)
        assert image_io.for_model(io.BytesIO(data), ModelInput(10, 10)).image == image_io.load(data).image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "L"])
def test_bands_leave_no_trace(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(RNG.integers(0, 65536, (301, 200), np.uint16)) if mode == "I;16" else None
    image = image or Image.fromarray(RNG.integers(0, 256, (301, 200, 4), np.uint8)).convert(
        mode if mode != "P" else "RGB"
    )
    data = encoded(image.quantize(32) if mode == "P" else image, "TIFF" if mode == "CMYK" else "PNG")
    expected = [image_io.load(data).image, image_io.for_model(io.BytesIO(data), ModelInput(7, 5)).image]
    monkeypatch.setattr(image_io, "_BAND", 3000)
    for one, other in zip(
        expected, [image_io.load(data).image, image_io.for_model(io.BytesIO(data), ModelInput(7, 5)).image], strict=True
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_many_threads_reject_large_images_as_one_does(limit: Callable[[float], None]) -> None:
    limit(0.002)
    small, large = encoded(Image.new("RGB", (40, 40)), "PNG"), encoded(Image.new("RGB", (50, 50)), "PNG")

    def reason(data: bytes) -> str:
        try:
            image_io.load(data)
        except image_kinds.UnreadableImage as error:
            return error.reason
        return ""

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reason, [small, large] * 300)) == ["", "too-large"] * 300


def test_only_so_much_is_decoded_at_once() -> None:
    room, inside, most = MemoryBudget(10), [], []

    def decode(wanted: int) -> None:
        with room.room(wanted):
            inside.append(wanted)
            most.append(sum(inside))
            inside.remove(wanted)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [3, 4, 5, 10, 1, 30] * 50))
    assert max(total for total in most if total != 30) <= 10


def test_a_format_that_takes_more_memory_has_a_lower_limit_unless_one_is_given(limit: Callable[[float], None]) -> None:
    """WebP takes 16 bytes a pixel: with 89 megapixels, `score` would take 2.1 GB."""
    size = (5100, 5000)
    data = encoded(Image.new("RGB", size), "WEBP", lossless=True, method=0, quality=0)
    error = reject(data)
    assert error.reason == "too-large"
    assert "5,100 x 5,000 pixels exceeds the limit of 25 megapixels of WEBP; raise --max-megapixels" in error.detail
    limit(26)
    assert image_kinds.open_image(io.BytesIO(data)).size == size
