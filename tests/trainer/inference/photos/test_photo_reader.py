"""The graph that finds and reads, with a finder and a recogniser that only look at brightness."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from trainer import graph
from trainer.data.pipeline import preprocess
from trainer.inference.photos.photo_reader import PhotoReader, of_strings
from trainer.inference.photos.region_calibration import RegionCalibration

MOST = 3
SIZES = [tf.TensorSpec([], tf.int32)] * 2  # of the beam, and how many candidates


class StubFinder:
    """Finds boxes at fixed places of the letterboxed photo, in as many photos as are bright."""

    input_size = (384, 384)

    def find(self, images: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        boxes = tf.constant([[[32.0, 32, 96, 32, 96, 64, 32, 64], [200.0, 40, 200, 90, 180, 90, 180, 40]]])
        boxes = tf.pad(boxes, [[0, 0], [0, most - 2], [0, 0]])
        bright = tf.cast(tf.reduce_mean(images, axis=[1, 2, 3]) > 0, tf.float32)
        scores = bright[:, tf.newaxis] * tf.constant([[0.9, 0.6, 0.0]])
        return tf.tile(boxes, [tf.shape(images)[0], 1, 1]), scores

    def find_in_one(self, image: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        corners, scores = self.find(image[tf.newaxis], most)
        return corners[0], scores[0]


def stub_reader(images: tf.Tensor, beam_width: Any, candidates: Any) -> dict[str, tf.Tensor]:
    """Read the mean brightness of each image as its number."""
    mean = tf.cast(tf.round(tf.reduce_mean(tf.cast(images, tf.float32), axis=[1, 2, 3])), tf.int32)
    shape = [tf.size(mean), 1]
    return {
        "text": tf.reshape(tf.strings.as_string(mean), shape),
        "log_prob": tf.fill(shape, -0.5),
        "probability": tf.fill(shape, 0.6),
        "confidence": tf.fill([tf.size(mean)], 0.8),
    }


class TallFinder(StubFinder):
    """Finds the same tall box in each photo."""

    def find(self, images: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.shape(images)[0]
        boxes = tf.pad(tf.constant([[100.0, 50, 130, 50, 130, 170, 100, 170]]), [[0, most - 1], [0, 0]])
        return tf.tile(boxes[tf.newaxis], [batch, 1, 1]), tf.tile([[0.9] + [0.0] * (most - 1)], [batch, 1])


def shade_reader(images: tf.Tensor, beam_width: Any, candidates: Any) -> dict[str, tf.Tensor]:
    """Read the shade of each of the three thirds of an image, once if neighbours are the same."""
    thirds = tf.reduce_mean(tf.cast(images[:, 3:5, 1::5], tf.float32), axis=[1, 3])  # [N, 3]
    digits = tf.strings.as_string(tf.cast(tf.round(thirds / 25), tf.int32))
    same = tf.reduce_max(thirds, axis=1) - tf.reduce_min(thirds, axis=1) < 10
    out = stub_reader(images, beam_width, candidates)
    text = tf.where(same, digits[:, 0], tf.strings.reduce_join(digits, axis=1))
    return {**out, "text": text[:, tf.newaxis], "confidence": tf.where(same, 0.3, 0.7)}


def reader() -> PhotoReader:
    return PhotoReader(StubFinder(), of_strings(stub_reader), (8, 16), RegionCalibration(), most=MOST)


@pytest.fixture(scope="module")
def read() -> Callable[..., dict[str, tf.Tensor]]:
    """The graph that reads any number of photos, as in an exported model: tracing it takes seconds."""
    return graph.compiled(reader().read, input_signature=[tf.TensorSpec([None], tf.string), *SIZES])


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def photo(size: tuple[int, int], ground: int, patch: int) -> bytes:
    """A grey photo with a patch where the finder finds its first box: it is letterboxed to 384 pixels."""
    image = Image.new("RGB", size, (ground,) * 3)
    scale = max(size) / 384
    low, right, bottom = (round(scale * edge) for edge in (20, 108, 76))
    image.paste((patch,) * 3, (low, low, right, bottom))
    return encoded(image)


def test_regions_are_cut_at_full_resolution_and_the_whole_photo_is_one_of_them() -> None:
    files = tf.constant([photo((768, 768), 200, 250), photo((300, 200), 10, 20), photo((1536, 1000), 180, 30)])
    out = graph.compiled(reader().regions)(files, tf.constant(2), tf.constant(1))
    assert out["corners"].shape == (3, MOST + 1, 8)
    texts = [[text.decode() for text in row] for row in out["text"][..., 0].numpy()]
    assert texts[0][1:] == ["250", "200", ""]
    assert texts[1][1:] == ["", "", ""]  # dark: nothing is found, and nothing is read but the whole
    assert texts[1][0] in ("10", "11")
    assert texts[2][1:3] == ["30", "180"]
    np.testing.assert_allclose(out["corners"][2, 1], np.array([32, 32, 96, 32, 96, 64, 32, 64]) * 4, rtol=1e-5)
    np.testing.assert_allclose(out["corners"][1, 0], [0, 0, 300, 0, 300, 200, 0, 200])
    np.testing.assert_allclose(out["score"][:, 0], 1)


def test_answers_are_ranked_and_those_that_are_not_there_have_no_confidence(read: Callable) -> None:
    files = tf.constant([photo((768, 768), 200, 250), photo((300, 200), 10, 20)])
    out = {name: value.numpy() for name, value in read(files, tf.constant(2), tf.constant(1)).items()}
    assert (np.diff(out["numbers/confidence"], axis=1) <= 0).all()
    assert out["numbers/text"][0, 0] == out["text"][0, 0] == b"250"
    assert out["confidence"][0] == out["numbers/confidence"][0, 0]
    np.testing.assert_array_equal(out["numbers/confidence"][1] > 0, [True, False, False, False])
    assert out["text"][1, 0] == out["numbers/text"][1, 0] != b""


def test_a_photo_does_not_depend_on_the_others_of_its_batch(read: Callable) -> None:
    files = [photo((768, 768), 200, 250), photo((300, 200), 190, 20), photo((90, 400), 30, 20)]
    together = read(tf.constant(files), tf.constant(2), tf.constant(1))
    for i, file in enumerate(files):
        alone = read(tf.constant([file]), tf.constant(2), tf.constant(1))
        for name, value in alone.items():
            if value.dtype == tf.string:
                np.testing.assert_array_equal(value[0], together[name][i])
            else:
                np.testing.assert_allclose(value[0], together[name][i], rtol=1e-5)


def test_pixels_are_read_like_the_file_of_one_photo(read: Callable) -> None:
    of_pixels = [tf.TensorSpec([None, None, 3], tf.uint8), *SIZES]
    read_pixels = graph.compiled(reader().read_pixels, input_signature=of_pixels)
    for file in (photo((768, 768), 200, 250), photo((300, 200), 10, 20), photo((500, 900), 180, 30)):
        sizes = tf.constant(2), tf.constant(1)
        expected = read(tf.constant([file]), *sizes)
        out = read_pixels(preprocess.decode(tf.constant(file)), *sizes)
        assert out.keys() == expected.keys()
        for name, value in out.items():
            np.testing.assert_array_equal(value, expected[name])


class NarrowFinder(StubFinder):
    """Finds a box that ends before the last of three patches."""

    def find(self, images: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
        boxes = tf.pad(tf.constant([[100.0, 100, 180, 100, 180, 160, 100, 160]]), [[0, most - 1], [0, 0]])
        return boxes[tf.newaxis], tf.constant([[0.9] + [0.0] * (most - 1)])


def edge_reader(images: tf.Tensor, beam_width: Any, candidates: Any) -> dict[str, tf.Tensor]:
    """Read whether the right edge is bright; be sure only if it is."""
    bright = tf.reduce_mean(tf.cast(images[:, :, -4:], tf.float32), axis=[1, 2, 3]) > 100
    out = stub_reader(images, beam_width, candidates)
    text = tf.where(bright, "wide", "narrow")
    return {**out, "text": text[:, tf.newaxis], "confidence": tf.where(bright, 0.9, 0.4)}


def test_the_more_confident_of_two_margins_counts() -> None:
    image = Image.new("RGB", (384, 384))
    image.paste((250,) * 3, (194, 80, 240, 180))
    photos = PhotoReader(NarrowFinder(), of_strings(edge_reader), (32, 64), RegionCalibration(), most=MOST)
    out = graph.compiled(photos.regions)(tf.constant([encoded(image)]), tf.constant(2), tf.constant(1))
    assert out["text"][0, 1, 0] == b"wide"
    np.testing.assert_allclose(out["confidence"][0, 1], 0.9)


def test_stacked_characters_are_read_side_by_side() -> None:
    stacked = Image.new("RGB", (384, 384), (250,) * 3)
    for i, shade in enumerate((50, 175, 100)):
        stacked.paste((shade,) * 3, (70, 50 + 40 * i, 160, 90 + 40 * i))
    plain = Image.new("RGB", (384, 384), (125,) * 3)
    photos = PhotoReader(TallFinder(), of_strings(shade_reader), (8, 15), RegionCalibration(), most=MOST)
    files = tf.constant([encoded(stacked), encoded(plain)])
    out = graph.compiled(photos.regions)(files, tf.constant(2), tf.constant(1))
    assert [text.decode() for text in out["text"][:, 1, 0].numpy()] == ["274", "5"]
    np.testing.assert_allclose(out["confidence"][:, 1], [0.7, 0.3])
    np.testing.assert_array_equal(out["text"][:, 2:, 0], [[b"", b""]] * 2)


def half_reader(images: tf.Tensor, beam_width: Any, candidates: Any) -> dict[str, tf.Tensor]:
    """Read halves of a dark and a grey column: as `12`, confidently, without a margin alone; its thirds as `345`."""
    shades = tf.reduce_mean(tf.cast(images, tf.float32), axis=3)
    plain, thirds = (tf.abs(shades[:, 2, x] - shades[:, 5, x]) > 50 for x in (4, 7))
    narrow = shades[:, 3, 0] < 50
    halves = tf.where(narrow, "12", "98")
    out = stub_reader(images, beam_width, candidates)
    text = tf.where(plain, "6", tf.where(thirds, "345", halves))
    confidence = tf.where(plain, 0.1, tf.where(thirds, 0.8, tf.where(narrow, 0.9, 0.1)))
    return {**out, "text": text[:, tf.newaxis], "confidence": confidence}


def test_stacked_characters_count_by_how_many_margins_agree_on_them() -> None:
    image = Image.new("RGB", (384, 384), (250,) * 3)
    image.paste((20,) * 3, (100, 50, 130, 110))
    image.paste((120,) * 3, (100, 110, 130, 170))
    photos = PhotoReader(TallFinder(), of_strings(half_reader), (8, 15), RegionCalibration(), most=MOST)
    out = graph.compiled(photos.regions)(tf.constant([encoded(image)]), tf.constant(2), tf.constant(1))
    assert out["text"][0, 1, 0] == b"345"
    np.testing.assert_allclose(out["confidence"][0, 1], 0.8, rtol=1e-6)


@pytest.mark.parametrize(("plain", "text"), [("67", "12"), ("678", "345"), ("6789", "6789")])
def test_parts_do_not_count_where_plain_cuts_show_more_characters(plain: str, text: str) -> None:
    def read(images: tf.Tensor, beam_width: Any, candidates: Any) -> dict[str, tf.Tensor]:
        """Read the halves of a column as `12`, confidently; its thirds as `345`, less so."""
        shades = tf.reduce_mean(tf.cast(images, tf.float32), axis=3)
        as_it_is, thirds = (tf.abs(shades[:, 2, x] - shades[:, 5, x]) > 50 for x in (4, 7))
        texts = tf.where(as_it_is, plain, tf.where(thirds, "345", "12"))
        confidence = tf.where(as_it_is, 0.46, tf.where(thirds, 0.5, 0.9))
        return {**stub_reader(images, beam_width, candidates), "text": texts[:, tf.newaxis], "confidence": confidence}

    image = Image.new("RGB", (384, 384), (250,) * 3)
    image.paste((20,) * 3, (100, 50, 130, 110))
    image.paste((120,) * 3, (100, 110, 130, 170))
    photos = PhotoReader(TallFinder(), of_strings(read), (8, 15), RegionCalibration(), most=MOST)
    out = graph.compiled(photos.regions)(tf.constant([encoded(image)]), tf.constant(2), tf.constant(1))
    assert out["text"][0, 1, 0] == text.encode()
